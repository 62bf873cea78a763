"""Protocols: what is fixed when methods are compared. TOML in, a frozen :class:`Protocol` out.

An id is ``<dataset>-<scenario>-<setting>`` (``voc-15-1-overlapped``) or ``<dataset>-joint``; a user's
own protocol is ``path/to/file.toml:<scenario>-<setting>``. The digest of a resolved protocol, model
preset included, changes with any change of meaning and with nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from benchmark.preset import Count, Fraction, ModelPreset, Positive

Setting = Literal["sequential", "disjoint", "overlapped"]
SETTINGS: tuple[Setting, ...] = ("sequential", "disjoint", "overlapped")
IGNORE = 255
MOST_CLASSES = IGNORE - 2  # labels are 8 bit: 0, these, one for what a label map must not hold, and 255
# Names, prose and what a copy of the data is held against say nothing about what is trained or scored:
# changing them leaves results comparable.
_COSMETIC = ("id", "name", "scenario", "description", "joint", "joint_method", "expected_images")


@dataclass(frozen=True)
class Augmentation:
    """Random scale (a factor, uniform in its range), crop to the preset's size, horizontal flip."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    random_scale: tuple[Positive, Positive] = (0.5, 2.0)
    flip: Fraction = 0.5


@dataclass(frozen=True)
class Evaluation:
    """How test images are shown: whole, or their central square of the preset's image size.

    With ``window_stride``, images larger than the preset's image size are shown in windows of that size, the
    next one ``window_stride`` of it further on, and logits are averaged where windows overlap.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    crop: Literal["whole", "centre"] = "whole"
    window_stride: Annotated[float, Field(gt=0, le=1)] | None = None

    def meaning(self) -> dict[str, Any]:
        """Return what of it decides results; a key that came later is left out where it changes nothing."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Splits:
    """Names of the dataset's splits that are trained on and scored."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    test: str


@dataclass(frozen=True)
class Protocol:
    """One resolved protocol.

    ``joint`` names the protocol of the upper bound (None: this is it), which is run with
    ``joint_method`` alone. ``classes`` names the dataset's labels 1, 2, ...; label 0 is background where
    ``background`` is true and otherwise what is left unlabelled. ``steps`` holds labels in learning
    order, background in none. ``expected_images`` is the published number of training images of each step,
    None where none is published.
    """

    id: str
    version: Count
    description: str
    dataset: str
    scenario: str
    setting: Setting
    split: Literal["test", "validation"]
    joint: str | None
    joint_method: str
    classes: tuple[str, ...]
    background: bool
    steps: tuple[tuple[int, ...], ...]
    splits: Splits
    epochs: Count
    augmentation: Augmentation
    evaluation: Evaluation
    model: ModelPreset
    expected_images: tuple[int, ...] | None = None

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The dataset's labels in learning order: the label of output channel 1, 2, ..."""
        return tuple(label for step in self.steps for label in step)

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """Names of the rows of a confusion matrix: index 0, then the classes in learning order."""
        return ("background", *(self.classes[label - 1] for label in self.order))

    def outputs(self, step: int) -> int:
        """Return the number of the model's outputs after ``step``, background included."""
        return 1 + sum(len(classes) for classes in self.steps[: step + 1])

    def channels(self, step: int) -> tuple[int, ...]:
        """Return the output channels of the classes that ``step`` adds."""
        end = self.outputs(step)
        return tuple(range(end - len(self.steps[step]), end))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the meaning of the protocol and its model preset, in hexadecimal."""
        content = _meaning(asdict(self)) | {"evaluation": self.evaluation.meaning()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _meaning(content: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k not in _COSMETIC} | {
        "model": model_meaning(content["model"])
    }


def model_meaning(preset: dict[str, Any]) -> dict[str, Any]:
    """Return what of a preset, given as a mapping, decides results."""
    content = {k: v for k, v in preset.items() if k not in _COSMETIC}
    if content["pretrained"].endswith(".safetensors"):
        content["pretrained"] = None  # a file is what it holds, wherever it lies
    return content
