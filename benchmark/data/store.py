"""Images and label maps of a split as tensors, at the size a preset wants, from a cache where they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.data.dataset import Split
from benchmark.data.decode import Size
from benchmark.data.memory import Key
from benchmark.data.transforms import Sample, resize_image, resize_label


@dataclass(frozen=True, eq=False)
class Store:
    """A split whose images have their shorter side brought to ``resize`` pixels (None: left as they are).

    Tensors are views of cached arrays and must not be written to.
    """

    split: Split
    resize: int | None

    def sample(self, index: int) -> Sample:
        """Return image and label map, both resized."""
        return Sample(self.image(index), self.label(index))

    def image(self, index: int) -> Tensor:
        """Return the resized image, (3, h, w) uint8."""
        return torch.from_numpy(self._cached("image", index, self.resize)).permute(2, 0, 1)

    def label(self, index: int) -> Tensor:
        """Return the resized label map, (h, w) uint8."""
        return torch.from_numpy(self._cached("label", index, self.resize))

    def original_label(self, index: int) -> Tensor:
        """Return the label map at its own size, (H, W) uint8."""
        return torch.from_numpy(self._cached("label", index, None))

    def _cached(self, kind: Literal["image", "label"], index: int, resize: int | None) -> NDArray[np.uint8]:
        key = Key(kind, self.split.ids[index], resize)
        make = self._make_image if kind == "image" else self._make_label
        return self.split.dataset.cache.get(key, lambda: make(index, resize))

    def _make_image(self, index: int, resize: int | None) -> NDArray[np.uint8]:
        image = _tensor(self.split.image(index)).permute(2, 0, 1)
        resized = resize_image(image, *_target(image, resize))
        return resized.permute(1, 2, 0).contiguous().numpy()

    def _make_label(self, index: int, resize: int | None) -> NDArray[np.uint8]:
        label = _tensor(self.split.label(index))
        return resize_label(label, *_target(label, resize)).contiguous().numpy()


def _tensor(array: NDArray[np.uint8]) -> Tensor:
    """View an array as a tensor; torch has no read-only ones, so that a read-only array is copied."""
    return torch.from_numpy(np.require(array, requirements="W"))


def _target(tensor: Tensor, resize: int | None) -> Size:
    """Size of a (..., H, W) tensor once its shorter side has ``resize`` pixels."""
    height, width = tensor.shape[-2:]
    if resize is None:
        return Size(height, width)
    scale = resize / min(height, width)
    return Size(max(resize, round(height * scale)), max(resize, round(width * scale)))
