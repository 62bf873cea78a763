"""The matrices by image beside a record, read as what they are: data from somebody else."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import RecordError
from benchmark.plainarrays import UNREADABLE, plain_array

LARGEST_BYTES = 2**30
_FIELDS = ("image", "row", "column", "count")
Integers = NDArray[np.int64]


class Cells(NamedTuple):
    """Sparse confusion matrices of one step: ``pixels`` of ``image`` in cell (``row``, ``column``)."""

    image: Integers
    row: Integers
    column: Integers
    pixels: Integers

    def matrix(self, rows: int, columns: int) -> Integers:
        """Return the sum over images (rows, columns). Raises RecordError for a cell outside of it."""
        if self.row.size and (self.row.max() >= rows or self.column.max() >= columns):
            raise RecordError(f"it has a cell outside of the matrix of {rows} x {columns}")
        total = np.zeros((rows, columns), dtype=np.int64)
        np.add.at(total, (self.row, self.column), self.pixels)
        return total

    def by_label(self, images: int, rows: int) -> Integers:
        """Return the pixels of each image and label (images, rows), whatever was predicted."""
        total = np.zeros((images, rows), dtype=np.int64)
        np.add.at(total, (self.image, self.row), self.pixels)
        return total


@dataclass(frozen=True, eq=False)
class Images:
    """All of an ``.npz``: the ids of the test images, and the cells of each step."""

    names: tuple[str, ...]
    steps: tuple[Cells, ...]


def read_images(path: Path, steps: int) -> Images:
    """Read the file beside a record of ``steps`` steps; nothing in it is executed.

    Raises RecordError, one sentence, for a file that is missing, damaged, too large or not of this form.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, steps)
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"it holds what is no plain array: {error}") from error
    except UNREADABLE as error:
        raise RecordError(f"it cannot be read: {error}") from error


def _read(archive: zipfile.ZipFile, steps: int) -> Images:
    expected = ["names", *(f"step{step}_{field}" for step in range(steps) for field in _FIELDS)]
    found = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    if sorted(found) != sorted(expected):
        odd = sorted(set(found) ^ set(expected)) or ["one of them twice"]
        raise RecordError(f"its arrays are not those of {steps} steps; differing: {', '.join(odd)[:120]}")
    size = sum(info.file_size for info in archive.infolist())
    if size > LARGEST_BYTES:
        raise RecordError(f"it unpacks to {size} bytes; expected at most {LARGEST_BYTES}")
    names = plain_array(archive, "names", "U", LARGEST_BYTES)
    if len(set(names.tolist())) != len(names):
        raise RecordError("it names an image twice")
    cells = tuple(
        Cells(
            *(
                plain_array(archive, f"step{step}_{field}", "u", LARGEST_BYTES).astype(np.int64)
                for field in _FIELDS
            )
        )
        for step in range(steps)
    )
    for step, one in enumerate(cells):
        _check_cells(one, len(names), step)
    return Images(tuple(names.tolist()), cells)


def _check_cells(cells: Cells, images: int, step: int) -> None:
    if len({len(values) for values in cells}) != 1:
        raise RecordError(f"the arrays of step {step} differ in length")
    if not cells.image.size:
        return
    if cells.image.max() >= images:
        raise RecordError(f"step {step} speaks of image {cells.image.max()}; it names {images}")
    if cells.pixels.min() == 0:
        raise RecordError(f"step {step} has a cell without pixels; those are left out")
    if len(np.unique(np.stack(cells[:3]), axis=1).T) != len(cells.image):
        raise RecordError(f"step {step} has a cell of an image twice")
