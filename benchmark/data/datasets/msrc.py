"""MSRC-v2: 591 photographs with pixel labels of 21 classes, in its release's layout.

Source: Microsoft Research Cambridge, object class recognition image database, version 2; split lists as
those of TextonBoost (Shotton et al. 2006), which name .bmp files: images are matched by their stem.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import IGNORE, Dataset, first_duplicate
from benchmark.data.decode import IMAGE_SUFFIXES, file_stamp, read_rgb, size_of
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


class Msrc(Dataset):
    """MSRC-v2 in a folder with ``Images``, ``GroundTruth`` and the three split lists.

    ``root`` is that folder or the one that holds it under its release's name. void, horse and mountain are
    ignored; there is no background. Opening raises DataError unless every image listed is there with its
    label map.
    """

    class_names = tuple(CLASSES)
    has_background = False
    splits = tuple(LISTS)

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        self._folder = _find_folder(root)
        self._images = _by_stem(self._folder / "Images")
        self._labels = _by_stem(self._folder / "GroundTruth")
        self._ids = {split: self._read_list(name) for split, name in LISTS.items()}

    @property
    def location(self) -> str:
        """The dataset's own folder."""
        return str(self._folder)

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the stems of a split's images, in its list's order."""
        return self._ids[split]

    def image(self, identity: str) -> NDArray[np.uint8]:
        """Return a photograph, (H, W, 3) uint8 RGB."""
        return read_rgb(self._images[identity])

    def label(self, identity: str) -> NDArray[np.uint8]:
        """Return a label map, (H, W) uint8. Raises DataError for an unknown colour or a wrong size."""
        path = self._label_path(identity)
        label = _decode(read_rgb(path), path)
        expected = size_of(self._images[identity])
        if label.shape != expected:
            raise DataError(
                f"label map {path} has {label.shape[1]} x {label.shape[0]} pixels; expected "
                f"{expected.width} x {expected.height}, as {self._images[identity]} has"
            )
        return label

    def stamp(self, identity: str) -> str:
        """Return name, size and time of change of a label file."""
        return file_stamp(self._label_path(identity))

    def image_stamp(self, identity: str) -> str:
        """Return name, size and time of change of a photograph."""
        return file_stamp(self._images[identity])

    def _label_path(self, identity: str) -> Path:
        return self._labels[f"{identity}_GT"]

    def _read_list(self, name: str) -> tuple[str, ...]:
        path = self._folder / name
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except FileNotFoundError as error:
            raise DataError(f"split list {path} is missing; expected one image name a line") from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"split list {path} cannot be read: {error}") from error
        ids = tuple(Path(line).stem for line in lines if line)
        self._check_list(path, ids)
        return ids

    def _check_list(self, path: Path, ids: tuple[str, ...]) -> None:
        if not ids:
            raise DataError(f"split list {path} is empty; expected one image name a line")
        twice = first_duplicate(ids)
        if twice is not None:
            raise DataError(f"split list {path} names image {twice!r} more than once; expected it once")
        for identity in ids:
            if identity not in self._images:
                raise DataError(
                    f"split list {path} names image {identity!r}, which is not in {self._folder / 'Images'}"
                )
            if f"{identity}_GT" not in self._labels:
                raise DataError(
                    f"image {self._images[identity]} has no label map; expected {identity}_GT"
                    f"{'/'.join(IMAGE_SUFFIXES)} in {self._folder / 'GroundTruth'}"
                )


def _find_folder(root: Path | None) -> Path:
    if root is None:
        raise DataError("dataset msrc needs the folder of its data; got none, expected --data-root")
    for folder in (root, root / FOLDER):
        if (folder / "Images").is_dir() and (folder / "GroundTruth").is_dir():
            return folder
    raise DataError(f"no MSRC-v2 at {root}; expected Images and GroundTruth in it or in {root / FOLDER}")


def _by_stem(folder: Path) -> Mapping[str, Path]:
    """Return the image files of a folder by their names without ending."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in found:
            raise DataError(
                f"{folder} has both {found[path.stem].name} and {path.name}; expected one of them"
            )
        found[path.stem] = path
    return found


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
