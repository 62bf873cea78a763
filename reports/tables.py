"""Tables: seeds to mean and spread, and the files that lie beside every table."""

from __future__ import annotations

import io
import json
from collections.abc import Hashable, Mapping, Sequence
from csv import writer
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Key = TypeVar("Key", bound=Hashable)
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_ENCODER = json.JSONEncoder(allow_nan=False)
_UNSAFE = ("=", "+", "-", "@", "\t", "\r")


class Cell(NamedTuple):
    """Mean and sample standard deviation over ``n`` seeds.

    Both are None where one of the seeds has no value: a mean over the others would be of other runs.
    """

    mean: float | None
    std: float | None
    n: int


def aggregate(groups: Mapping[Key, Sequence[Mapping[str, float | None]]]) -> dict[Key, dict[str, Cell]]:
    """Aggregate the measures of the runs of each group, column by column."""
    filled = {key: runs for key, runs in groups.items() if runs}
    if not filled:
        return {key: {} for key in groups}
    entries = [measures for runs in filled.values() for measures in runs]
    columns = list(dict.fromkeys(chain.from_iterable(entries)))
    lines = [list(m.values()) if list(m) == columns else [m.get(c) for c in columns] for m in entries]
    values = np.array(lines, dtype=np.float64)  # what is None is no number, nor is any sum that it is in
    sizes = np.array([len(runs) for runs in filled.values()])
    means, spreads = _means_and_spreads(values, sizes)
    counts = np.add.reduceat(~np.isnan(values), _starts(sizes), dtype=np.int64)
    cells = zip(_known(means), _known(spreads), counts.tolist(), strict=True)
    rows = {
        key: dict(zip(columns, map(Cell, *cell), strict=True))
        for key, cell in zip(filled, cells, strict=True)
    }
    return {key: rows.get(key, {}) for key in groups}


def _starts(sizes: Integers) -> Integers:
    return np.cumsum(sizes) - sizes


def _means_and_spreads(values: Floats, sizes: Integers) -> tuple[Floats, Floats]:
    """Return means and sample standard deviations (groups, columns) of neighbours, exact for equal ones."""
    starts, many = _starts(sizes), sizes[:, None]
    low, high = (extreme.reduceat(values, starts) for extreme in (np.minimum, np.maximum))
    means = np.where(low == high, low, np.add.reduceat(values, starts) / many)
    squares = np.add.reduceat((values - np.repeat(means, sizes, axis=0)) ** 2, starts)
    with np.errstate(divide="ignore", invalid="ignore"):  # one alone has no spread
        return means, np.sqrt(squares / (many - 1))


def _known(numbers: Floats) -> list[list[float | None]]:
    """Return lines of numbers with None for what is none."""
    cells = numbers.astype(object)
    cells[np.isnan(numbers)] = None
    lines: list[list[float | None]] = cells.tolist()
    return lines


def rounded(value: float | None) -> float | None:
    """Return ``value`` to ten significant digits, beyond which machines differ in how they add."""
    return None if value is None else float(f"{value:.10g}")


class Export(NamedTuple):
    """A table in both formats."""

    csv: bytes
    json: bytes


def export(rows: Sequence[Mapping[str, Any]]) -> Export:
    """Return rows of numbers and texts, of the same keys, as :func:`csv` and :func:`as_json` do."""
    columns = list(rows[0]) if rows else []
    lines = _lines(rows, columns)
    return Export(
        _as_csv(lines, columns), _as_json([dict(zip(columns, line, strict=True)) for line in lines])
    )


def csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """Return a table as CSV (UTF-8, base units, unknown is empty).

    Text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    return _as_csv(_lines(rows, columns), columns)


def _lines(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[list[Any]]:
    return [[rounded(v) if isinstance(v, float) else v for v in map(row.get, columns)] for row in rows]


def _as_csv(lines: Sequence[Sequence[Any]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    inert = ([_inert(v) if isinstance(v, str) else v for v in line] for line in lines)
    writer(text, lineterminator="\n").writerows([columns, *inert])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _inert(value: str) -> str:
    return f"'{value}" if value.startswith(_UNSAFE) else value


def as_json(content: Any) -> bytes:
    """Return ``content`` as JSON, keys in their order, unknown as null."""
    return _as_json(_rounded(content))


def _as_json(plain: Any) -> bytes:
    if not isinstance(plain, list) or not plain:
        return _ENCODER.encode(plain).encode() + b"\n"
    # A line an entry: the encoder is ten times slower where it is told to indent.
    return ("[\n" + ",\n".join(map(_ENCODER.encode, plain)) + "\n]\n").encode()


def _rounded(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    return rounded(content) if isinstance(content, float) else content
