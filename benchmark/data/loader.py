"""Batches for training, for a method's passes over a step's data, and for scoring.

Training batch i is a function of (seed, step, i) alone: the order of an epoch, and the random numbers of each
place in it, come from streams of their own. So the loop can start at any iteration, worker processes change
nothing, and no random number drawn elsewhere changes what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.dataset import Split
from benchmark.data.evaluation import TestBatch, test_batches
from benchmark.data.store import Store
from benchmark.data.transforms import RawBatch, augment, draw
from benchmark.data.workers import ahead
from benchmark.preset import ModelPreset
from benchmark.protocol import Augmentation
from benchmark.seeding import stream_seed

__all__ = [
    "RawBatch",
    "TestBatch",
    "iterations_per_epoch",
    "ordered_batches",
    "pinned",
    "test_batches",
    "train_batches",
]
Indices = Sequence[int] | NDArray[np.int64]


def iterations_per_epoch(images: int, batch: int) -> int:
    """Return how many batches it takes to show every image at least once."""
    return -(-images // batch)


def train_batches(
    split: Split,
    images: Indices,
    *,
    preset: ModelPreset,
    augmentation: Augmentation,
    iterations: int,
    seed: int,
    step: int,
    start: int = 0,
    workers: int = 0,
) -> Iterator[RawBatch]:
    """Return training batches ``start`` to ``iterations`` - 1 of a step, all of the preset's batch size.

    ``images`` are indices into ``split``. Each epoch shows all of them in a new order and wraps around to
    fill its last batch, with other random numbers for what is shown twice. ``workers`` processes prepare
    batches ahead (0: none, in this process). Raises DataError for an image that cannot be read.
    """
    shown = _Shown(Store(split, preset.resize), preset, augmentation)
    batches = _TrainBatches(shown, np.asarray(images), seed, step)
    wanted = range(start, iterations)
    return ahead(batches, split.dataset.cache, wanted, workers) if workers else map(batches.batch, wanted)


def pinned(batch: RawBatch) -> RawBatch:
    """Return a batch in page-locked memory, from where a GPU takes it while it computes."""
    return RawBatch(batch.image.pin_memory(), batch.label.pin_memory())


def ordered_batches(
    split: Split,
    images: Indices,
    *,
    preset: ModelPreset,
    augmentation: Augmentation,
    seed: int,
    step: int,
) -> Iterable[RawBatch]:
    """Return one pass over ``images`` in order, transformed as in training; the last batch may be short.

    It can be iterated again and then gives the same bytes; its random numbers are a stream of its own.
    """
    shown = _Shown(Store(split, preset.resize), preset, augmentation)
    return _OrderedBatches(shown, np.asarray(images), seed, step)


class _Place(NamedTuple):
    """One image of a batch: its index in the split, and the seed of its random numbers."""

    image: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Shown:
    """Images as training shows them."""

    store: Store
    preset: ModelPreset
    augmentation: Augmentation

    @cached_property
    def fill(self) -> Tensor:
        """The preset's mean colour, which normalising turns to zero but for rounding; (3, 1, 1) uint8."""
        return (torch.tensor(self.preset.mean) * 255).round().to(torch.uint8)[:, None, None]

    def batch(self, places: Iterable[_Place], into: RawBatch | None = None) -> RawBatch:
        """Return the images of ``places``, each transformed with its own random numbers, written ``into``."""
        size = self.preset.image_size
        samples = [
            augment(self.store.sample(place.image), self.augmentation, size, self.fill, draw(place.seed))
            for place in places
        ]
        images, labels = [sample.image for sample in samples], [sample.label for sample in samples]
        if into is None:
            return RawBatch(torch.stack(images), torch.stack(labels))
        return RawBatch(torch.stack(images, out=into.image), torch.stack(labels, out=into.label))


@dataclass(frozen=True, eq=False)
class _TrainBatches:
    """Training batches by iteration."""

    shown: _Shown
    images: NDArray[np.int64]
    seed: int
    step: int

    @property
    def preset(self) -> ModelPreset:
        """Says how large batches are."""
        return self.shown.preset

    def batch(self, iteration: int, into: RawBatch | None = None) -> RawBatch:
        """Return the batch of an iteration, written ``into`` where that is given."""
        size, images = self.preset.batch_size, len(self.images)
        epoch, batch = divmod(iteration, iterations_per_epoch(images, size))
        order = self._order(epoch)
        places = (
            _Place(int(order[place % images]), stream_seed(self.seed, "augment", self.step, epoch, place))
            for place in range(batch * size, (batch + 1) * size)
        )
        return self.shown.batch(places, into)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "order", self.step, epoch))
        shuffled: NDArray[np.int64] = torch.randperm(len(self.images), generator=generator).numpy()
        return self.images[shuffled]


@dataclass(frozen=True, eq=False)
class _OrderedBatches:
    """One pass in fixed order, as often as it is iterated."""

    shown: _Shown
    images: NDArray[np.int64]
    seed: int
    step: int

    def __len__(self) -> int:
        return iterations_per_epoch(len(self.images), self.shown.preset.batch_size)

    def __iter__(self) -> Iterator[RawBatch]:
        size = self.shown.preset.batch_size
        for start in range(0, len(self.images), size):
            yield self.shown.batch(
                _Place(image, stream_seed(self.seed, "ordered", self.step, start + offset))
                for offset, image in enumerate(self.images[start : start + size].tolist())
            )
