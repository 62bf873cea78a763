"""Datasets in memory and small protocols for the tests of ``benchmark.data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import Dataset
from benchmark.preset import ModelPreset
from benchmark.protocol import Evaluation, Protocol, Setting, Splits
from benchmark.protocols import load_protocol

PRESET = ModelPreset(
    name="toy",
    description="",
    encoder="resnet18",
    pretrained="random",
    decoder="conv",
    image_size=16,
    batch_size=4,
    learning_rate=0.1,
    learning_rate_later=0.01,
)


@dataclass(frozen=True)
class Pair:
    """One image and its label map."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


class Toy(Dataset):
    """A dataset of given pairs. ``reads`` lists every label map and image that was asked for."""

    def __init__(self, classes: int, has_background: bool, splits: Mapping[str, Mapping[str, Pair]]) -> None:
        super().__init__(None)
        self.class_names = tuple(f"class {label}" for label in range(1, classes + 1))
        self.has_background = has_background
        self.splits = tuple(splits)
        self.pairs = splits
        self.reads: list[str] = []
        self.stamps: dict[str, str] = {}
        self.image_stamps: dict[str, str] | None = None

    @property
    def location(self) -> str:
        return "memory"

    def ids(self, split: str) -> tuple[str, ...]:
        return tuple(self.pairs[split])

    def image(self, identity: str) -> NDArray[np.uint8]:
        self.reads.append(f"image {identity}")
        return self._pair(identity).image

    def label(self, identity: str) -> NDArray[np.uint8]:
        self.reads.append(f"label {identity}")
        return self._pair(identity).label

    def stamp(self, identity: str) -> str:
        return self.stamps.get(identity, "")

    def image_stamp(self, identity: str) -> str | None:
        return None if self.image_stamps is None else self.image_stamps.get(identity, "")

    def _pair(self, identity: str) -> Pair:
        return next(pairs[identity] for pairs in self.pairs.values() if identity in pairs)


def label_map(rows: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    return np.array(rows, dtype=np.uint8)


def pair(rows: Sequence[Sequence[int]]) -> Pair:
    """A label map and a grey image of its size."""
    label = label_map(rows)
    return Pair(np.full((*label.shape, 3), 128, dtype=np.uint8), label)


def coded(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image that says in each channel what the label map says in the same place."""
    return np.repeat(label[:, :, None], 3, axis=2)


def toy_protocol(
    steps: Sequence[Sequence[int]], setting: Setting, background: bool, classes: int | None = None
) -> Protocol:
    """A protocol over ``Toy``, trained on the split "train" and scored on "test"."""
    number = max(label for step in steps for label in step) if classes is None else classes
    return replace(
        load_protocol("shapes-4-2-overlapped"),
        id="toy",
        dataset="toy",
        setting=setting,
        classes=tuple(f"class {label}" for label in range(1, number + 1)),
        background=background,
        steps=tuple(tuple(step) for step in steps),
        splits=Splits(train=("train",), test="test"),
        evaluation=Evaluation(),
        model=PRESET,
    )
