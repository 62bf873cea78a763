"""Processes that prepare training batches ahead of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from benchmark.data.memory import Cache
from benchmark.data.transforms import RawBatch
from benchmark.errors import DataError
from benchmark.preset import ModelPreset

_PREFETCH = 2  # batches a worker prepares ahead


class Batches(Protocol):
    """Training batches by iteration."""

    @property
    def preset(self) -> ModelPreset:
        """Says how large batches are."""

    def batch(self, iteration: int, into: RawBatch | None = None) -> RawBatch:
        """Return the batch of an iteration, written ``into`` where that is given."""


class _Slots:
    """Shared memory that worker processes write batches to, used over and over.

    Fresh shared memory for each batch, as tensors of a worker get it, costs a page fault every 4 KiB: a
    fifth of its time. There is one slot more than batches can be under way, so that none is written to
    while it is read.
    """

    def __init__(self, preset: ModelPreset, count: int) -> None:
        shape = (count, preset.batch_size, 3, preset.image_size, preset.image_size)
        self._image = _shared(shape)
        self._label = _shared((*shape[:2], *shape[3:]))

    def __getitem__(self, iteration: int) -> RawBatch:
        slot = iteration % len(self._image)
        return RawBatch(self._image[slot], self._label[slot])


def _shared(shape: tuple[int, ...]) -> Tensor:
    """Return uint8 in shared memory. Raises DataError where there is not enough of it, as in containers."""
    tensor = torch.empty(shape, dtype=torch.uint8)
    try:
        return tensor.share_memory_()
    except RuntimeError as error:
        raise DataError(
            f"loader processes cannot share {tensor.nbytes / 2**20:.0f} MiB of batches: {error}; "
            "use fewer (--workers) or allow for more shared memory (--shm-size of a container)"
        ) from error


@dataclass(frozen=True, eq=False)
class _Writer(TorchDataset[DataError | None]):
    """Writes batches to their slots. An error is returned: raised, it would come buried in its traceback."""

    batches: Batches
    cache: Cache
    slots: _Slots

    def __getitem__(self, iteration: int) -> DataError | None:
        try:
            self.batches.batch(iteration, self.slots[iteration])
        except DataError as error:
            return error
        return None


def ahead(batches: Batches, cache: Cache, wanted: range, workers: int) -> Iterator[RawBatch]:
    """Yield the wanted batches, prepared ahead by processes that share the budget of the ``cache`` they use.

    Raises the DataError that preparing a batch raises, and one where there is too little shared memory.
    """
    slots = _Slots(batches.preset, workers * _PREFETCH + 1)
    loader = DataLoader(
        _Writer(batches, cache, slots),
        batch_size=None,
        sampler=wanted,
        num_workers=workers,
        prefetch_factor=_PREFETCH,
        worker_init_fn=_share_budget,
        generator=torch.Generator(),  # without one, torch's global stream would be drawn from
    )
    for iteration, error in zip(wanted, loader, strict=True):
        if error is not None:
            raise error
        image, label = slots[iteration]
        yield RawBatch(image.clone(), label.clone())


def _share_budget(_worker: int) -> None:
    worker = get_worker_info()
    assert worker is not None and isinstance(worker.dataset, _Writer)
    worker.dataset.cache.share(worker.num_workers)
