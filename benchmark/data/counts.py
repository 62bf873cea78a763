"""Images and pixels of a protocol by step and class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import Dataset
from benchmark.data.index import pixel_counts
from benchmark.data.scenario import step_images, visible_table
from benchmark.protocol import Protocol

OnImage = Callable[[], object]


@dataclass(frozen=True, eq=False)
class StepCounts:
    """A step's training images. ``pixels`` (C + 1,) by label, in all of them; ``visible`` (C + 1,) which
    labels a method is shown there."""

    images: int
    pixels: NDArray[np.int64]
    visible: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ProtocolCounts:
    """``steps`` of a protocol, and the pixels (C + 1,) and images (C + 1,) by label of both whole splits."""

    protocol: Protocol
    steps: tuple[StepCounts, ...]
    train_pixels: NDArray[np.int64]
    test_pixels: NDArray[np.int64]
    train_images: int
    test_images: int


def step_sizes(protocol: Protocol, present: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return how many images each step trains on. ``present`` (N, C + 1): whether image n shows label c."""
    return tuple(
        len(step_images(present, protocol.steps, step, protocol.setting))
        for step in range(len(protocol.steps))
    )


def count_protocol(protocol: Protocol, dataset: Dataset, on_image: OnImage = lambda: None) -> ProtocolCounts:
    """Count a protocol's images and pixels; label 0 counts as visible where it is a class of its own.

    Raises DataError as reading label maps does. ``on_image`` is told of each label map that is read.
    """
    train, test = dataset.split(*protocol.splits.train), dataset.split(protocol.splits.test)
    trained, scored = (pixel_counts(split, on_image=on_image).astype(np.int64) for split in (train, test))
    return ProtocolCounts(
        protocol,
        tuple(_step(protocol, trained, step) for step in range(len(protocol.steps))),
        trained.sum(axis=0),
        scored.sum(axis=0),
        len(train),
        len(test),
    )


def _step(protocol: Protocol, counts: NDArray[np.int64], step: int) -> StepCounts:
    chosen = step_images(counts > 0, protocol.steps, step, protocol.setting)
    visible = visible_table(protocol.steps, step, protocol.setting)[: counts.shape[1]] > 0
    visible[0] = protocol.background
    return StepCounts(len(chosen), counts[chosen].sum(axis=0), visible)
