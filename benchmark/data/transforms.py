"""Training transforms on uint8 tensors: image and label map are scaled, cropped and flipped together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from benchmark.data.dataset import IGNORE
from benchmark.protocol import Augmentation


class Sample(NamedTuple):
    """``image`` (3, H, W) and ``label`` (H, W), both uint8."""

    image: Tensor
    label: Tensor


class RawBatch(NamedTuple):
    """``image`` (B, 3, S, S) and ``label`` (B, S, S), both uint8, labels as the dataset numbers them."""

    image: Tensor
    label: Tensor


class Draw(NamedTuple):
    """The random numbers of one sample, each uniform in [0, 1)."""

    scale: float
    top: float
    left: float
    flip: float


def draw(seed: int) -> Draw:
    """Return the random numbers that belong to a seed; no global random state is read or moved."""
    generator = torch.Generator().manual_seed(seed)
    return Draw(*torch.rand(4, generator=generator, dtype=torch.float64).tolist())


def resize_image(image: Tensor, height: int, width: int) -> Tensor:
    """Return a (3, H, W) uint8 image at another size: bilinear, antialiased."""
    if image.shape[-2:] == (height, width):
        return image
    return tv.resize(image, [height, width], InterpolationMode.BILINEAR, antialias=True)


def resize_label(label: Tensor, height: int, width: int) -> Tensor:
    """Return a (H, W) label map at another size: the nearest pixel centre, as the image's are placed."""
    if label.shape == (height, width):
        return label
    return tv.resize(label[None], [height, width], InterpolationMode.NEAREST_EXACT)[0]


def augment(sample: Sample, augmentation: Augmentation, size: int, fill: Tensor, numbers: Draw) -> Sample:
    """Scale, crop to ``size`` x ``size`` and flip a sample.

    The crop's place is uniform over all that lie within the scaled image; along a side that is too short,
    over all that hold the whole side. What lies outside becomes ``fill`` (3, 1, 1) uint8 and label 255.
    """
    low, high = augmentation.random_scale
    factor = low + numbers.scale * (high - low)
    height, width = (max(1, round(side * factor)) for side in sample.label.shape)
    image, label = resize_image(sample.image, height, width), resize_label(sample.label, height, width)
    rows, columns = _span(height, size, numbers.top), _span(width, size, numbers.left)
    image = _paste(image, rows, columns, fill.expand(3, size, size).clone())
    label = _paste(label, rows, columns, label.new_full((size, size), IGNORE))
    if numbers.flip < augmentation.flip:
        return Sample(image.flip(-1), label.flip(-1))
    return Sample(image, label)


class _Span(NamedTuple):
    """Where a side is read in the scaled image and written in the crop."""

    source: slice
    target: slice


def _span(side: int, size: int, number: float) -> _Span:
    slack = side - size
    offset = int(number * (abs(slack) + 1))
    if slack >= 0:
        return _Span(slice(offset, offset + size), slice(0, size))
    return _Span(slice(0, side), slice(offset, offset + side))


def _paste(source: Tensor, rows: _Span, columns: _Span, canvas: Tensor) -> Tensor:
    canvas[..., rows.target, columns.target] = source[..., rows.source, columns.source]
    return canvas
