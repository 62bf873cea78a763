"""The toy protocol: three steps of five images, all made of canaries, and two networks of a few channels.

Every step has images of its own, so that what a setting hides in them can be exchanged without a change of
anything a method may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.check.reach import Row
from benchmark.data.dataset import Dataset, Split
from benchmark.data.memory import ArrayCache
from benchmark.data.scenario import Plan, StepData, evaluation_table, visible_table
from benchmark.method import Setting
from benchmark.preset import ModelPreset
from benchmark.protocol import IGNORE, Augmentation, Evaluation, Protocol, Splits

SIZE = 32
STEPS = ((2, 1), (4,), (5, 3))
"""Labels by step. In another order than the outputs, so that a label is not mistaken for an output."""
TO_COME = (6,)
IMAGES = 5
MARKED_ROW = SIZE // 2

CNN = ModelPreset(
    name="toy-cnn",
    description="A ResNet of four blocks and a few channels, with ASPP",
    encoder="resnet18",
    encoder_args={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 16], "zero_init_last": False},
    pretrained="random",
    decoder="aspp",
    decoder_channels=8,
    output_stride=8,
    image_size=SIZE,
    batch_size=2,
    learning_rate=0.01,
    learning_rate_later=0.005,
)
VIT = replace(
    CNN,
    name="toy-vit",
    description="A plain ViT of two blocks, with one convolution",
    encoder="vit_tiny_patch16_224",
    encoder_args={"depth": 2, "embed_dim": 24, "num_heads": 2, "patch_size": 8},
    decoder="conv",
    output_stride=None,
    optimiser="adamw",
    learning_rate=1e-3,
    learning_rate_later=1e-3,
)


class ToyData(Dataset):
    """Noise with labels. With ``decoys``, all that the step ``now`` may not see is exchanged for another.

    That is: images and labels of other steps and of the test split, and in the step's own label maps every
    label that its setting hides.
    """

    class_names = ("a", "b", "c", "d", "e", "f")
    has_background = True
    splits = ("train", "test")

    def __init__(self, setting: Setting, decoys: bool) -> None:
        super().__init__(None)
        self.cache = ArrayCache(budget_bytes=0)  # what is shown changes from step to step
        self.setting = setting
        self.decoys = decoys
        self.now = 0

    @property
    def location(self) -> str:
        """In memory."""
        return "memory"

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the step of an image and its number in it; test images are of no step."""
        if split == "test":
            return tuple(f"test/{number}" for number in range(2))
        return tuple(f"{step}/{number}" for step in range(len(STEPS)) for number in range(IMAGES))

    def stamp(self, identity: str) -> str:
        """Return the name: what is behind it does not change."""
        return identity

    def image(self, identity: str) -> NDArray[np.uint8]:
        """Return noise; its middle row is its own mirror image, to be known again after a flip."""
        pixels = self._noise(identity).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        pixels[MARKED_ROW, SIZE // 2 :] = pixels[MARKED_ROW, : SIZE // 2][::-1]
        return 255 - pixels if self.decoys and not self._is_now(identity) else pixels

    def label(self, identity: str) -> NDArray[np.uint8]:
        """Return stripes of new classes on the left, of what the setting hides on the right."""
        step, number = self._place(identity)
        new, others = STEPS[step], self._others(step)
        label = np.zeros((SIZE, SIZE), dtype=np.uint8)
        label[:, : SIZE // 2] = new[number % len(new)]
        label[SIZE // 2 :, : SIZE // 2] = new[-1]
        label[:, SIZE // 2 : -SIZE // 4] = others[number % len(others)]
        label[:2] = IGNORE
        return self._decoy(label, identity) if self.decoys else label

    def _others(self, step: int) -> tuple[int, ...]:
        """Labels beside the step's own that its images may show: those beyond seen only if overlapped."""
        last = len(STEPS) if self.setting == "overlapped" else step
        found = (label for other in range(last) if other != step for label in STEPS[other])
        return tuple(found) or (0,)

    def _decoy(self, label: NDArray[np.uint8], identity: str) -> NDArray[np.uint8]:
        table = np.arange(256, dtype=np.uint8)
        moved = self.hidden if self._is_now(identity) else tuple(range(len(self.class_names)))
        table[list(moved)] = np.roll(moved, 1)
        return table[label]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Labels that are 0 to a method in the step ``now``."""
        table = visible_table((*STEPS, TO_COME), self.now, self.setting)
        return tuple(label for label in range(len(self.class_names) + 1) if table[label] == 0)

    def _is_now(self, identity: str) -> bool:
        return identity.startswith(f"{self.now}/")

    def _place(self, identity: str) -> tuple[int, int]:
        step, _, number = identity.partition("/")
        return (len(STEPS) - 1 if step == "test" else int(step)), int(number)

    def _noise(self, identity: str) -> np.random.Generator:
        return np.random.default_rng(list(identity.encode()))


@dataclass(frozen=True)
class Toy:
    """A setting and a network of the toy protocol.

    ``thorough``: what changes nothing is tried out, too. ``weights`` is what a step's view says of them: the
    ViT's are random like all, but are said to be pretrained, so that both answers are heard.
    """

    preset: ModelPreset
    setting: Setting
    weights: Literal["random", "pretrained"]
    thorough: bool

    @property
    def name(self) -> str:
        """Name in a verdict."""
        return f"{self.preset.name.removeprefix('toy-').upper()}, {self.setting}"

    def protocol(self, decoys: bool) -> Protocol:
        """Return the protocol; among the decoys are its names and a step to come."""
        return Protocol(
            id="decoy" if decoys else "toy",
            version=1,
            description="",
            dataset="decoy" if decoys else "toy",
            scenario="toy",
            setting=self.setting,
            split="test",
            joint=None,
            joint_method="",
            classes=tuple("uvwxyz" if decoys else "abcdef"),
            background=True,
            steps=(*STEPS, TO_COME) if decoys else STEPS,
            splits=Splits(("train",), "test"),
            epochs=1,
            augmentation=Augmentation((1.0, 1.0), 0.5),
            evaluation=Evaluation(),
            model=self.preset,
        )

    def plan(self, data: ToyData) -> Plan:
        """Return the steps' own images, with the tables of the setting."""
        rows = evaluation_table([label for step in STEPS for label in step], has_background=True)
        steps = (
            StepData(np.arange(IMAGES) + IMAGES * step, visible_table(STEPS, step, self.setting), rows)
            for step in range(len(STEPS))
        )
        train, test = data.split("train"), data.split("test")
        return Plan(tuple(steps), train, test)


TOYS = (
    Toy(CNN, "overlapped", "random", thorough=True),
    Toy(VIT, "sequential", "pretrained", thorough=True),
    Toy(CNN, "disjoint", "random", thorough=False),
)


@dataclass(frozen=True)
class Marks:
    """What gives an image away: the bytes of its marked row, as decoded and as a method is handed it."""

    split: Split
    preset: ModelPreset

    def of(self, steps: set[int]) -> Iterator[tuple[str, Row]]:
        """Yield name and marked row, decoded and normalised, of each image of some steps."""
        for name, rows in self._rows.items():
            if int(name.partition("/")[0]) in steps:
                yield from ((name, row) for row in rows)

    @cached_property
    def _rows(self) -> dict[str, tuple[Row, Row]]:
        mean, std = (torch.tensor(values)[:, None] * 255 for values in (self.preset.mean, self.preset.std))
        found = {}
        for index, name in enumerate(self.split.ids):
            raw = torch.from_numpy(self.split.image(index)[MARKED_ROW].copy()).t()
            found[name] = (Row(raw), Row((raw.float() - mean) / std))
        return found
