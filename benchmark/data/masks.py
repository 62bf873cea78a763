"""Reading label maps that hold one index a pixel, with one sentence for each way in which one can be bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from benchmark.data.dataset import IGNORE
from benchmark.data.decode import size_of
from benchmark.errors import DataError
from benchmark.protocol import MOST_CLASSES

Table = NDArray[np.uint8]
_UNKNOWN = MOST_CLASSES + 1
_NO_INDICES = {
    "1": "1 bit a pixel",
    "RGB": "colours",
    "RGBA": "colours",
    "LA": "an alpha channel",
    "PA": "an alpha channel",
    "I": "16 bits a pixel",
    "I;16": "16 bits a pixel",
}


def table_of(meaning: Mapping[int, int]) -> Table:
    """Return stored value -> label for :func:`to_labels`, (256,) uint8; values not given are refused."""
    table = np.full(256, _UNKNOWN, dtype=np.uint8)
    for value, label in meaning.items():
        table[value] = label
    return table


def plain_table(classes: int) -> Table:
    """Return the table of maps that hold labels as they are: 0 to ``classes``, and 255 for ignored."""
    return table_of({**{label: label for label in range(classes + 1)}, IGNORE: IGNORE})


def read_labels(path: Path, table: Table) -> NDArray[np.uint8]:
    """Return the label map of an indexed PNG, (H, W) uint8.

    Raises DataError as :func:`read_indices` does, and for a value that ``table`` does not know.
    """
    return to_labels(read_indices(path), table, path)


def read_indices(path: Path) -> NDArray[np.uint8]:
    """Return the values an indexed PNG stores, (H, W) uint8: indices of a palette, or 8 bit greyscale.

    Raises DataError for a file that is missing, broken or no PNG, and for one that holds colours, alpha or
    other than 8 bits. Greyscale of fewer bits is refused since programs disagree about what its values are.
    """
    with _sentences(path), Image.open(path) as image:
        if image.format != "PNG":
            raise DataError(f"label map {path} is a {image.format} file; expected PNG, which loses nothing")
        stored = str(image.tile[0][3])  # Pillow scales greyscale of 2 and 4 bits up and still says "L"
        if image.mode != "P" and stored != "L":
            what = _NO_INDICES.get(image.mode, f"{stored.partition(';')[2]} bits a pixel")
            raise DataError(
                f"label map {path} holds {what} (mode {stored}) in place of indices; "
                "expected a PNG with a palette or of 8 bit greyscale, one label a pixel"
            )
        return np.array(image)


def to_labels(values: NDArray[np.uint8], table: Table, path: Path) -> NDArray[np.uint8]:
    """Return stored values as labels. Raises DataError for a value that ``table`` does not know."""
    label: NDArray[np.uint8] = table.take(values)
    unknown = label == _UNKNOWN
    if unknown.any():
        row, column = np.argwhere(unknown)[0].tolist()
        raise DataError(
            f"label map {path} has value {values[row, column]} at row {row}, column {column}; "
            f"expected {_known(table)}"
        )
    return label


def check_size(label: NDArray[np.uint8], path: Path, image: Path) -> None:
    """Raise DataError unless a label map has the size of its image."""
    expected = size_of(image)
    if label.shape != expected:
        raise DataError(
            f"label map {path} has {label.shape[1]} x {label.shape[0]} pixels; expected "
            f"{expected.width} x {expected.height}, as {image} has"
        )


def _known(table: Table) -> str:
    """Return the known values, runs as "0 to 20"."""
    known = np.flatnonzero(table != _UNKNOWN)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    texts = [f"{run[0]} to {run[-1]}" if run.size > 1 else f"{run[0]}" for run in runs]
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"label map {path} cannot be read: {reason}") from error
