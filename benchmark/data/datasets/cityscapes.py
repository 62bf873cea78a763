"""Cityscapes with fine annotations, in its release's layout.

Source: Cordts et al. 2016, The Cityscapes Dataset for Semantic Urban Scene Understanding, and the label
table of its scripts. Labels 1 to 19 are its train ids plus one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.archives import Archive
from benchmark.data.dataset import IGNORE
from benchmark.data.files import find_folder, image_files
from benchmark.data.masks import read_labels, table_of
from benchmark.data.paired import PairedDataset, Places

CLASSES = {  # name: id in the release, in the order of train ids
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
ARCHIVES = (
    Archive(
        name="leftImg8bit_trainvaltest.zip",
        algorithm="sha1",
        digest="2c0b77ce9933cc635adda307fbba5566f5d9d404",
        folder="leftImg8bit",
    ),
    Archive(
        name="gtFine_trainvaltest.zip",
        algorithm="sha1",
        digest="99f532cb1af174f5fcc4c5bc8feea8c66246ddbc",
        folder="gtFine",
    ),
)
HELD_OUT = ("tubingen", "ulm", "weimar", "zurich")
_IDS = 34  # 0 to 33, those that have no train id are void
_FROM_IDS = table_of(
    {
        **dict.fromkeys([*range(_IDS), IGNORE], IGNORE),
        **{number: label for label, number in enumerate(CLASSES.values(), start=1)},
    }
)
_FROM_TRAIN_IDS = table_of({**{label - 1: label for label in range(1, 20)}, IGNORE: IGNORE})
_TRAIN_IDS, _LABEL_IDS = "_gtFine_labelTrainIds", "_gtFine_labelIds"


class Cityscapes(PairedDataset):
    """``leftImg8bit`` and ``gtFine`` in ``root``, or in ``root/cityscapes``; 19 classes, void ignored.

    Label maps are ``_gtFine_labelIds.png``, or ``_gtFine_labelTrainIds.png`` where the first are not there.
    The release's training images are two splits: ``held_out``, the four last cities in the alphabet (503
    of 2,975 images), and ``train``, the others. Whole cities, since images of one look alike and those
    of ``val`` are from cities of their own. The release's test split has no public labels.
    """

    class_names = tuple(CLASSES)
    has_background = False
    splits = ("train", "held_out", "val")
    archives = ARCHIVES
    instructions = (
        "Register on https://www.cityscapes-dataset.com/ and, logged in, get leftImg8bit_trainvaltest.zip "
        "and gtFine_trainvaltest.zip from its page of downloads."
    )
    published_images: ClassVar = {"train": 2472, "held_out": 503, "val": 500}

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        parts = ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val")
        self.folder = find_folder("Cityscapes", root, parts=parts, below=("cityscapes",))
        self.images = self._files("leftImg8bit", "_leftImg8bit")
        self.labels = {**self._files("gtFine", _TRAIN_IDS), **self._files("gtFine", _LABEL_IDS)}
        self._check_pairs(
            Places(self.folder / "leftImg8bit", self.folder / "gtFine", f"{{}}{_LABEL_IDS}.png")
        )
        self.lists = {split: self._of(split) for split in self.splits}

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return the label map of ids, or of train ids, as the file's name says."""
        return read_labels(path, _FROM_TRAIN_IDS if path.stem.endswith(_TRAIN_IDS) else _FROM_IDS)

    def _files(self, kind: str, ending: str) -> Mapping[str, Path]:
        cities = sorted(city for split in ("train", "val") for city in (self.folder / kind / split).iterdir())
        return {
            name: path
            for city in cities
            if city.is_dir()
            for name, path in image_files(city, ending=ending).items()
        }

    def _of(self, split: str) -> tuple[str, ...]:
        """Return a split's ids, by city and name."""
        folder = "val" if split == "val" else "train"
        held_out = split == "held_out"
        return tuple(
            name
            for name, path in self.images.items()
            if path.parents[1].name == folder
            and (split == "val" or (path.parent.name in HELD_OUT) == held_out)
        )
