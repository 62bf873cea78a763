"""Photographs and label maps to measure on, and what published code does to one before training on it."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as tv

WIDTH, HEIGHT, CLASSES, CROP = 500, 375, 20, 512
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_data(root: Path, pairs: int, names: int) -> None:
    """Write ``pairs`` images and label maps, and links to them under ``names`` names for the index."""
    stream = np.random.default_rng(0)
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("background\n" + "".join(f"class {n}\n" for n in range(1, CLASSES + 1)))
    for number in range(pairs):
        _photograph(stream).save(root / "images" / f"{number}.jpg", quality=90)
        _label_map(stream).save(root / "masks" / f"{number}.png")
    for number in range(pairs, names):
        for folder, ending in (("images", "jpg"), ("masks", "png")):
            os.link(root / folder / f"{number % pairs}.{ending}", root / folder / f"{number}.{ending}")
    for split, count in (("train", pairs), ("many", names)):
        (root / "splits" / f"{split}.txt").write_text("".join(f"{number}\n" for number in range(count)))


def _photograph(stream: np.random.Generator) -> Image.Image:
    coarse = stream.integers(0, 256, (HEIGHT // 25, WIDTH // 25, 3), dtype=np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.int64
    )
    noisy = smooth + stream.normal(0, 8, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _label_map(stream: np.random.Generator) -> Image.Image:
    coarse = stream.integers(0, CLASSES + 1, (9, 12), dtype=np.uint8)
    label = np.array(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST))
    edges = (label != np.roll(label, 3, axis=0)) | (label != np.roll(label, 3, axis=1))
    indexed = Image.fromarray(np.where(edges, 255, label).astype(np.uint8)).convert("L")
    indexed.putpalette([value % 256 for value in range(768)])
    return indexed


class Published(NamedTuple):
    """``image`` (3, S, S) normalised floats, ``target`` (S, S) int64."""

    image: Tensor
    target: Tensor


def published_sample(root: Path, name: str, known: Mapping[int, int]) -> Published:
    """Return an image as MiB's and PLOP's code prepares it: on PIL images, then floats and a Python mapping.

    RandomResizedCrop of scale 0.5 to 2, a flip, to_tensor, normalise; the label map through ``apply_``.
    """
    image = Image.open(root / "images" / f"{name}.jpg").convert("RGB")
    label = Image.open(root / "masks" / f"{name}.png")
    side = min(HEIGHT, WIDTH, round(CROP / random.uniform(0.5, 2.0)))
    box = (random.randint(0, HEIGHT - side), random.randint(0, WIDTH - side), side, side)
    image = tv.resized_crop(image, *box, [CROP, CROP], tv.InterpolationMode.BILINEAR)
    label = tv.resized_crop(label, *box, [CROP, CROP], tv.InterpolationMode.NEAREST)
    if random.random() < 0.5:
        image, label = tv.hflip(image), tv.hflip(label)
    target = torch.from_numpy(np.array(label)).long()
    mapped = target.apply_(lambda value: known[value])
    return Published(tv.normalize(tv.to_tensor(image), IMAGENET_MEAN, IMAGENET_STD), mapped)
