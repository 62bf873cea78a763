"""MSRC-v2: 591 photographs with pixel labels of 21 classes, in its release's layout.

Source: Microsoft Research Cambridge, object class recognition image database, version 2; split lists as
those of TextonBoost (Shotton et al. 2006), which name .bmp files: images are matched by their stem.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import IGNORE
from benchmark.data.decode import IMAGE_SUFFIXES, read_rgb
from benchmark.data.files import find_folder, image_files, read_list
from benchmark.data.paired import PairedDataset, Places
from benchmark.errors import DataError


class Colour(NamedTuple):
    """A label's colour code."""

    red: int
    green: int
    blue: int

    @property
    def packed(self) -> int:
        """The colour as one number below 2^24."""
        return self.red << 16 | self.green << 8 | self.blue


FOLDER = "MSRC_ObjCategImageDatabase_v2"
LISTS = {"train": "Train.txt", "validation": "Validation.txt", "test": "Test.txt"}
CLASSES = {  # in the release's order
    "building": Colour(128, 0, 0),
    "grass": Colour(0, 128, 0),
    "tree": Colour(128, 128, 0),
    "cow": Colour(0, 0, 128),
    "sheep": Colour(0, 128, 128),
    "sky": Colour(128, 128, 128),
    "aeroplane": Colour(192, 0, 0),
    "water": Colour(64, 128, 0),
    "face": Colour(192, 128, 0),
    "car": Colour(64, 0, 128),
    "bicycle": Colour(192, 0, 128),
    "flower": Colour(64, 128, 128),
    "sign": Colour(192, 128, 128),
    "bird": Colour(0, 64, 0),
    "book": Colour(128, 64, 0),
    "chair": Colour(0, 192, 0),
    "road": Colour(128, 64, 128),
    "cat": Colour(0, 192, 128),
    "dog": Colour(128, 192, 128),
    "body": Colour(64, 64, 0),
    "boat": Colour(192, 64, 0),
}
IGNORED = {  # horse and mountain: too few images, left out by all papers
    "void": Colour(0, 0, 0),
    "horse": Colour(128, 0, 128),
    "mountain": Colour(64, 0, 0),
}
_UNKNOWN = 254


class Msrc(PairedDataset):
    """MSRC-v2 in a folder with ``Images``, ``GroundTruth`` and the three split lists.

    ``root`` is that folder or the one that holds it under its release's name. void, horse and mountain are
    ignored; there is no background. Opening raises DataError unless every image listed is there with its
    label map.
    """

    class_names = tuple(CLASSES)
    has_background = False
    splits = tuple(LISTS)
    instructions = (
        "Get the object class recognition image database, version 2, from Microsoft Research Cambridge "
        "(https://www.microsoft.com/en-us/research/project/image-understanding/), and split lists of one "
        "file name a line, Train.txt, Validation.txt and Test.txt, as TextonBoost uses them."
    )
    published_images: ClassVar = {"train": 276, "validation": 59, "test": 256}

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        self.folder = find_folder("MSRC-v2", root, parts=("Images", "GroundTruth"), below=(FOLDER,))
        places = Places(
            self.folder / "Images", self.folder / "GroundTruth", f"{{}}_GT{'/'.join(IMAGE_SUFFIXES)}"
        )
        self.images = image_files(places.images)
        self.labels = image_files(places.labels, ending="_GT")
        self.lists = {split: read_list(self.folder / name) for split, name in LISTS.items()}
        for split, ids in self.lists.items():
            self._check(ids, self.folder / LISTS[split], places)

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return the labels that a map's colours stand for. Raises DataError for an unknown colour."""
        return _decode(read_rgb(path), path)


def _decode(colours: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    label: NDArray[np.uint8] = _table().take(red << 16 | green << 8 | blue)
    unknown = label == _UNKNOWN
    if unknown.any():
        row, column = np.argwhere(unknown)[0].tolist()
        raise DataError(
            f"label map {path} has the unknown colour {tuple(colours[row, column].tolist())} at row {row}, "
            f"column {column}; expected one of the {len(CLASSES) + len(IGNORED)} colours of MSRC-v2"
        )
    return label


@cache
def _table() -> NDArray[np.uint8]:
    """Label by packed colour, (2^24,) uint8."""
    table = np.full(1 << 24, _UNKNOWN, dtype=np.uint8)
    for label, colour in enumerate(CLASSES.values(), start=1):
        table[colour.packed] = label
    for colour in IGNORED.values():
        table[colour.packed] = IGNORE
    return table
