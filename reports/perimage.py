"""The ``.npz`` beside a record: its confusion matrices by test image, checked against the record."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from benchmark.errors import RecordError
from benchmark.plainarrays import UNREADABLE, plain_array
from benchmark.record import Record, sha256_of
from reports.compact import confusions

Floats = npt.NDArray[np.float64]
_NAME = re.compile(r"[^/\\\0]+")
P = ParamSpec("P")
Result = TypeVar("Result")
LARGEST_MEMBER = 2**28
"""Bytes an array may unpack to: a thousand times that of the largest test set here."""


class ImageOverlap(NamedTuple):
    """Pixels by image and output after one step, both (images, outputs): sums give the IoU of a whole set.

    ``test_set`` is a digest of the images' names in their order: only runs that agree in it are paired.
    """

    test_set: str
    intersection: Floats
    union: Floats

    def scored(self, background: bool) -> ImageOverlap:
        """Leave out the output at index 0 where it is no class that is scored: without ``background``."""
        first = 0 if background else 1
        return ImageOverlap(self.test_set, self.intersection[:, first:], self.union[:, first:])


class Cells(NamedTuple):
    """One step's sparse matrices: ``count`` pixels of ``image`` in cell (``row``, ``column``)."""

    image: npt.NDArray[Any]
    row: npt.NDArray[Any]
    column: npt.NDArray[Any]
    count: npt.NDArray[Any]  # type: ignore[assignment]  # the method of tuples it hides is of no use here


class CountsError(RecordError):
    """Counts by image that cannot be used. ``record``: the one they belong to."""

    def __init__(self, record: Record, sentence: str) -> None:
        super().__init__(sentence)
        self.record = record


def read_overlap(record: Record, path: Path, step: int = -1) -> ImageOverlap:
    """Read the counts by image of one step of the record that lies at ``path``.

    Raises CountsError, one sentence, where the file is missing, is not the one the record was written
    with, cannot be read, or does not sum to the record's matrix.
    """
    return read_overlaps([(record, path)], step)[0]


def read_overlaps(files: Sequence[tuple[Record, Path]], step: int = -1) -> list[ImageOverlap]:
    """Return what :func:`read_overlap` does of each of a few records, in less time than one by one.

    All are read, then all unpacked, and so on, so that the code of each thing stays in the CPU's caches.
    """
    records = [record for record, _ in files]
    numbers = [range(len(record.steps))[step] if record.steps else step for record in records]
    contents = [_named(record, read_content, record, path) for record, path in files]
    todo = list(zip(records, contents, numbers, strict=True))
    packed = [_named(record, _unpacked, record, content, n) for record, content, n in todo]
    every = list(zip(records, packed, numbers, strict=True))
    shapes = [_named(r, _fits, cells, r, n, len(names)) for r, (names, cells), n in every]
    return [
        _overlap(_test_set(names.dtype.str, names.tobytes()), cells, len(names), shape)
        for (names, cells), shape in zip(packed, shapes, strict=True)
    ]


def _named(record: Record, step: Callable[P, Result], *values: P.args, **named: P.kwargs) -> Result:
    """Take one step with a record's counts; its error says whose they are."""
    try:
        return step(*values, **named)
    except RecordError as error:
        raise CountsError(record, str(error)) from error


def _unpacked(record: Record, content: bytes, step: int) -> tuple[npt.NDArray[Any], Cells]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = plain_array(archive, "names", "U", LARGEST_MEMBER)
            fields = (f"step{step}_{field}" for field in Cells._fields)
            return names, Cells(*(plain_array(archive, field, "u", LARGEST_MEMBER) for field in fields))
    except UNREADABLE as error:
        raise RecordError(f"{record.images_file!r} cannot be read: {error}") from error


@lru_cache(maxsize=4)
def _test_set(kind: str, names: bytes) -> str:
    """Return the digest of a test set by numpy's array of its images' names, the same in most files."""
    return sha256_of("\n".join(np.frombuffer(names, kind).tolist()).encode())


def images_name(record: Record) -> str:
    """Return the name of the file of counts by image, which lies beside the record.

    Raises RecordError where it names none, or none that could.
    """
    name = record.images_file
    if name is None or not record.steps:
        raise RecordError("the record has no counts by image")
    if not _NAME.fullmatch(name) or name == ".":
        raise RecordError(f"counts by image are named {name[:80]!r}, expected a file beside the record")
    return name


def read_content(record: Record, path: Path) -> bytes:
    """Return the file of counts by image of the record that lies at ``path``.

    Raises RecordError where it is missing or is not the one the record was written with.
    """
    name = images_name(record)
    try:
        with open(f"{path.parent}/{name}", "rb") as file:  # noqa: PTH123  # of thousands: a Path takes as long
            content = file.read()
    except OSError as error:
        raise RecordError(f"{name[:80]!r}, the counts by image, cannot be read: {error.strerror}") from error
    if sha256_of(content) != record.images_digest:
        raise RecordError(f"{name!r} is not the file the record was written with: its digest differs")
    return content


def _fits(cells: Cells, record: Record, step: int, images: int) -> tuple[int, ...]:
    """Return the shape of the step's matrix, which the cells must sum to."""
    matrix = np.asarray(confusions(record)[step], dtype=np.int64)
    limits = (images, *matrix.shape)
    same = len({len(part) for part in cells}) == 1
    if not same or any(part.size and part.max() >= n for part, n in zip(cells, limits, strict=False)):
        raise RecordError(f"{record.images_file!r} has cells of step {step} beyond its images or classes")
    flat = cells.row.astype(np.int64) * matrix.shape[1] + cells.column.astype(np.int64)
    summed = np.bincount(flat, cells.count, matrix.size).reshape(matrix.shape)
    if not np.array_equal(summed, matrix):
        raise RecordError(f"{record.images_file!r} does not sum to the confusion matrix of step {step}")
    return matrix.shape


def _overlap(test_set: str, cells: Cells, images: int, shape: tuple[int, ...]) -> ImageOverlap:
    rows, outputs = shape
    if rows > outputs:  # classes of later steps
        seen = cells.row < outputs
        cells = Cells(*(part[seen] for part in cells))
    count = cells.count.astype(np.float64)
    start = cells.image.astype(np.int64) * outputs
    actual, predicted = start + cells.row.astype(np.int64), start + cells.column.astype(np.int64)
    right = cells.row == cells.column

    def add(at: npt.NDArray[np.int64], count: Floats) -> Floats:
        found = np.bincount(at, count, images * outputs)  # integers where there is no cell at all
        return found.astype(np.float64, copy=False).reshape(images, outputs)

    intersection = add(actual[right], count[right])
    return ImageOverlap(test_set, intersection, add(actual, count) + add(predicted, count) - intersection)
