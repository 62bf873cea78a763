"""Scenes of eight shapes, rendered on the fly: no download, no stored images."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import Dataset
from benchmark.data.scenes import FORMS, Scene, render

_SIZES = {"train": 480, "validation": 120, "test": 160}


class Shapes(Dataset):
    """480 training, 120 validation and 160 test scenes of 64 x 64 pixels; eight classes and background.

    Scenes hold three to six objects of one to four classes, which hide each other in part. Form tells a
    class; hue narrows it down without deciding; texture, size and rotation are drawn alike for all.
    """

    instructions = "Its scenes are rendered when they are asked for: there is nothing to get."
    class_names = tuple(FORMS)
    has_background = True
    splits = tuple(_SIZES)

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(None)  # needs no folder, whatever other datasets' root is

    @property
    def location(self) -> str:
        """Nowhere: scenes are made when they are asked for."""
        return "shapes"

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of a split: its name and a number."""
        return tuple(f"{split}-{number:04}" for number in range(_SIZES[split]))

    def image(self, identity: str) -> NDArray[np.uint8]:
        """Return a scene's image, (64, 64, 3) uint8."""
        return _scene(identity).image

    def label(self, identity: str) -> NDArray[np.uint8]:
        """Return a scene's label map, (64, 64) uint8."""
        return _scene(identity).label

    def stamp(self, identity: str) -> str:
        """Return a hash of the label map itself: any change of the renderer shows in it."""
        return hashlib.sha256(self.label(identity).tobytes()).hexdigest()


@cache
def _scene(identity: str) -> Scene:
    """Render a scene once and keep it: all of them take 12 MB."""
    split, number = identity.split("-")
    return render((list(_SIZES).index(split), int(number)))
