"""What a board's test set is: from the data where they are at hand, otherwise from a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import open_dataset
from benchmark.data.index import pixel_counts
from benchmark.data.scenario import plan_steps
from benchmark.errors import DataError, RecordError
from benchmark.protocol import Protocol
from benchmark.validate.reading import Subject


@dataclass(frozen=True, eq=False)
class Truth:
    """What a board's test set is, and how many images each step trains on. ``source`` says who says so.

    ``pixels`` (images, rows): labels of each test image; row 0 is the background, then learning order.
    """

    source: str
    names: tuple[str, ...]
    pixels: NDArray[np.int64]
    trained: tuple[int, ...]


def truth_of_data(protocol: Protocol, data_root: Path | None) -> Truth | None:
    """Return what the data say; None where they are not at hand, or do not decide what is scored."""
    if protocol.evaluation.crop != "whole":
        return None  # what of a label map is scored is decided by the loader
    try:
        plan = plan_steps(protocol, open_dataset(protocol.dataset, data_root))
        labels = pixel_counts(plan.test).astype(np.int64)
    except DataError:
        return None
    rows = labels[:, [0, *protocol.order]]
    rows[:, 0] *= protocol.background
    return Truth("the data", plan.test.ids, rows, tuple(len(step.images) for step in plan.steps))


def truth_of_records(board: Sequence[Subject]) -> Truth | None:
    """Return what the first finished record of a board says, of which the file by image can be read."""
    for other in board:
        record = other.record
        if record.status != "ok":
            continue
        try:
            images = other.images()
            pixels = images.steps[0].by_label(len(images.names), len(record.classes) + 1)
        except (RecordError, IndexError):
            continue
        return Truth(str(other.path), images.names, pixels, tuple(step.images for step in record.steps))
    return None
