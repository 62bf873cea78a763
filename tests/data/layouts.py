"""Small data sets in the official layouts: a few dozen tiny images each, every class in every split.

Each ``make_*`` writes below ``root``, as ``--data-root`` takes it, and returns ``root``. ``SHOWN`` tells
the labels of each image of a split, 1, 2, ... as the protocols number them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.dataset import Dataset

Labels = tuple[int, ...]
Array = NDArray[np.uint8]
IGNORE = 255
SIZES = ((24, 32), (32, 24))  # height and width; sizes differ within a data set, as those of photographs do
FOLDER_CLASSES = ("nucleus", "membrane", "vesicle", "fibre")


def _runs(classes: int, length: int) -> tuple[Labels, ...]:
    """Each class once, ``length`` neighbours an image: any five neighbours hold the highest of some image."""
    return tuple(
        tuple(range(first, min(first + length, classes + 1))) for first in range(1, classes + 1, length)
    )


def _pairs(classes: int) -> tuple[Labels, ...]:
    """Each class once with the one below it and once alone: an image for every step of any order."""
    alone = [(label,) for label in range(1, classes + 1)]
    return (*alone, *pairwise(range(1, classes + 1)))


SHOWN: dict[str, dict[str, tuple[Labels, ...]]] = {
    "voc": {"train": _runs(20, 2), "augmented": _pairs(20), "val": _runs(20, 2)},
    "ade": {"training": _runs(150, 3), "validation": _runs(150, 8)},
    "cityscapes": {"train": _pairs(19), "val": _runs(19, 4)},
    "folder": {
        "train": ((1,), (2, 1), (3,), (4, 3), (1, 4), (2,), (3, 2), (4,)),
        "validation": ((1, 2), (3, 4), (2, 4)),
        "test": ((1, 2), (3, 4), (1, 3), (2, 4)),
    },
}
# Cities that hold data of both halves of the training split, and where the validation cities' images lie.
CITIES = {"train": ("aachen", "bremen", "ulm", "zurich"), "val": ("frankfurt", "munster")}
CITY_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of trainIds 0, 1, ...
PALETTE = [(17 * index) % 256 for index in range(768)]


class Pair(NamedTuple):
    """One image to be written: its number in the split, and its label map."""

    number: int
    label: Array


def label_of(labels: Sequence[int], size: tuple[int, int], base: int, border: int) -> Array:
    """Return bands of ``labels`` side by side, two rows of ``border`` above, four of ``base`` below."""
    label = np.empty(size, dtype=np.uint8)
    for place, columns in enumerate(np.array_split(np.arange(size[1]), len(labels))):
        label[:, columns] = labels[place]
    label[-4:] = base
    label[:2] = border
    return label


def make_voc(root: Path, augmented: Literal["png", "mat"] | None = "png") -> Path:
    """Write VOC 2012; the augmented set as ``SegmentationClassAug``, as SBD's ``.mat`` files, or not at all.

    As in the real ones, the augmented set holds images of the official train and val splits too.
    """
    folder = root / "VOCdevkit" / "VOC2012"
    names: dict[str, list[str]] = {}
    for year, split in zip((2007, 2008, 2009), ("train", "augmented", "val"), strict=True):
        for pair in _labels("voc", split, base=0, border=IGNORE):
            stem = f"{year}_{pair.number:06}"
            names.setdefault(split, []).append(stem)
            _photograph(folder / "JPEGImages" / f"{stem}.jpg", pair.label)
            if split != "augmented":
                _indexed(folder / "SegmentationClass" / f"{stem}.png", pair.label)
            if augmented == "png":
                _grey(folder / "SegmentationClassAug" / f"{stem}.png", pair.label)
            if augmented == "mat" and (split == "augmented" or pair.number < 3):
                _mat(root / "benchmark_RELEASE" / "dataset" / "cls" / f"{stem}.mat", pair.label)
    for split in ("train", "val"):
        _list(folder / "ImageSets" / "Segmentation" / f"{split}.txt", names[split])
    if augmented == "mat":
        sbd = root / "benchmark_RELEASE" / "dataset"
        _list(sbd / "train.txt", [*names["augmented"][::2], *names["val"][:2]])
        _list(sbd / "val.txt", [*names["augmented"][1::2], *names["train"][:2]])
    return root


def make_ade(root: Path) -> Path:
    """Write ADE20K as the scene parsing challenge of 2016 ships it."""
    folder = root / "ADEChallengeData2016"
    for split, short in (("training", "train"), ("validation", "val")):
        for pair in _labels("ade", split, base=0, border=0):
            stem = f"ADE_{short}_{pair.number:08}"
            _photograph(folder / "images" / split / f"{stem}.jpg", pair.label)
            _grey(folder / "annotations" / split / f"{stem}.png", pair.label)
    return root


def make_cityscapes(root: Path, kind: Literal["labelIds", "labelTrainIds"] = "labelIds") -> Path:
    """Write Cityscapes: ids in which 0 to 6 among others are void, or train ids with 255 for void."""
    ids, train_ids = np.full(256, 3, dtype=np.uint8), np.full(256, IGNORE, dtype=np.uint8)
    ids[1:20], train_ids[1:20] = CITY_IDS, np.arange(19)
    table = ids if kind == "labelIds" else train_ids
    for split, cities in CITIES.items():
        for pair in _labels("cityscapes", split, base=IGNORE, border=IGNORE):
            city = cities[pair.number % len(cities)]
            stem = f"{city}_{pair.number:06}_000019"
            _photograph(
                root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", pair.label, pair.number
            )
            _grey(root / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png", table[pair.label])
    return root


def make_folder(root: Path, name: str = "cells", background: bool = True) -> Path:
    """Write a data set of one's own in ``root / name``; label 0 is background, or what nobody labelled."""
    folder = root / name
    for split in SHOWN["folder"]:
        names = []
        for pair in _labels("folder", split, base=0, border=IGNORE):
            names.append(f"{split} {pair.number}")
            _photograph(folder / "images" / f"{names[-1]}.jpg", pair.label)
            _indexed(folder / "masks" / f"{names[-1]}.png", pair.label)
        _list(folder / "splits" / f"{split}.txt", names)
    _list(folder / "classes.txt", [*(["background"] if background else []), *FOLDER_CLASSES])
    return root


def _labels(dataset: str, split: str, base: int, border: int) -> Iterator[Pair]:
    for number, labels in enumerate(SHOWN[dataset][split], start=1):
        yield Pair(number, label_of(labels, SIZES[number % 2], base, border))


def _photograph(path: Path, label: Array, seed: int = 0) -> None:
    """Write what a camera would see: a colour for each label, under noise."""
    noise = np.random.default_rng([seed, *path.stem.encode()]).integers(-25, 26, (*label.shape, 3))
    colour = np.stack([label * 37 % 200, label * 91 % 200, label * 151 % 200], axis=-1).astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((colour + noise + 28).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def _indexed(path: Path, label: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label).convert("L")
    image.putpalette(PALETTE)
    image.save(path)


def _grey(path: Path, label: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label).save(path)


def _mat(path: Path, label: Array) -> None:
    """Write a label map as SBD does; SBD has no border, so that it becomes background."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    kept = np.where(label == IGNORE, 0, label).astype(np.uint8)
    savemat(path, {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": kept, "CategoriesPresent": 1}})


def _list(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


MAKERS: dict[str, Callable[[Path], Path]] = {
    "voc": make_voc,
    "ade": make_ade,
    "cityscapes": make_cityscapes,
    "folder:cells": make_folder,
}
"""The official layouts, and a folder of one's own, by what opens them."""
ODD = "daten mit Lücken – 数据"


def all_of(dataset: Dataset) -> None:
    """Read everything."""
    for name in dataset.splits:
        split = dataset.split(name)
        for index in range(len(split)):
            assert split.image(index).shape == (*split.label(index).shape, 3)
