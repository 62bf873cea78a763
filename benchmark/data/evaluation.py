"""Test images at the model's input size, with their label maps at the original resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.data.dataset import Split
from benchmark.data.store import Store
from benchmark.data.transforms import Sample
from benchmark.preset import ModelPreset
from benchmark.protocol import Evaluation

_WAITING_BATCHES = 8  # bounds memory on datasets in which every image has a size of its own


@dataclass(frozen=True, eq=False)
class TestBatch:
    """Images of equal size.

    ``index``: their places in the split. ``image`` (B, 3, h, w) uint8 at the model's input size; ``label``
    (B, H, W) uint8 at the label maps' own resolution, of the same field of view.
    """

    index: tuple[int, ...]
    image: Tensor
    label: Tensor


@dataclass(frozen=True, eq=False)
class _Item:
    """A test image that waits for others of its sizes."""

    index: int
    seen: Sample

    @property
    def sizes(self) -> tuple[torch.Size, torch.Size]:
        return self.seen.image.shape, self.seen.label.shape


def test_batches(
    split: Split,
    *,
    preset: ModelPreset,
    evaluation: Evaluation,
    batch: int,
    images: Sequence[int] | None = None,
) -> Iterator[TestBatch]:
    """Yield every image of a split once, those of equal size together, at most ``batch`` at a time.

    ``images``: indices of those to yield, all where None. The order is fixed, but is not that of the split.
    Raises DataError for an image that cannot be read.
    """
    store = Store(split, preset.resize)
    waiting: dict[tuple[torch.Size, torch.Size], list[_Item]] = {}
    for index in range(len(split)) if images is None else images:
        item = _Item(index, _seen(store, index, preset, evaluation))
        waiting.setdefault(item.sizes, []).append(item)
        if len(waiting[item.sizes]) == batch:
            yield _stack(waiting.pop(item.sizes))
        elif sum(map(len, waiting.values())) >= _WAITING_BATCHES * batch:
            yield _stack(waiting.pop(max(waiting, key=lambda sizes: len(waiting[sizes]))))
    yield from map(_stack, waiting.values())


def _stack(items: list[_Item]) -> TestBatch:
    return TestBatch(
        tuple(item.index for item in items),
        torch.stack([item.seen.image for item in items]),
        torch.stack([item.seen.label for item in items]),
    )


def _seen(store: Store, index: int, preset: ModelPreset, evaluation: Evaluation) -> Sample:
    """Return the resized image and the original label map, whole or their centre."""
    whole = Sample(store.image(index), store.original_label(index))
    return _centre(whole, preset.image_size) if evaluation.crop == "centre" else whole


def _centre(whole: Sample, size: int) -> Sample:
    """Cut the central square of ``size`` pixels from the image, and the same field from the label map.

    A side shorter than ``size`` is kept whole.
    """
    image, label = whole
    rows = _middle(image.shape[-2], label.shape[-2], size)
    columns = _middle(image.shape[-1], label.shape[-1], size)
    return Sample(image[:, rows.image, columns.image], label[rows.label, columns.label])


class _Field(NamedTuple):
    """The same part of a side, in pixels of the image and of the label map."""

    image: slice
    label: slice


def _middle(side: int, label_side: int, size: int) -> _Field:
    first = max(0, (side - size) // 2)
    last = min(side, first + size)
    ratio = label_side / side
    return _Field(slice(first, last), slice(round(first * ratio), round(last * ratio)))
