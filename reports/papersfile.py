"""The file of numbers from papers, read strictly: every value is what its column holds, or none is read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from benchmark.errors import RecordError
from reports.load import PUBLISHED

FILE = "published_results.csv"
ALL = "all"
PublishedSetting = Literal["overlapped", "disjoint", "sequential", "unknown"]


@dataclass(frozen=True)
class Value:
    """One printed number, in percent. ``classes``: ``all``, a range as printed, or one label."""

    method: str
    paper_title: str
    year: int
    dataset: str
    scenario: str
    setting: PublishedSetting
    backbone: str
    metric: Literal["miou"]
    classes: str
    value: float
    source: str
    note: str


def read_published(results: Path) -> tuple[Value, ...]:
    """Read the numbers from papers in ``results/published``; none where that folder has no such file.

    Raises RecordError, one sentence with file, line and column, at the first value that is not what
    its column holds.
    """
    path = results / PUBLISHED / FILE
    if not path.is_file():
        return ()
    name = f"{PUBLISHED}/{FILE}"
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{name} cannot be read as CSV in UTF-8: {error}") from error
    header = list(Value.__dataclass_fields__)
    if not rows or rows[0] != header:
        raise RecordError(
            f"{name}, line 1: got {', '.join(rows[0])[:200] if rows else 'nothing'}; expected "
            f"the columns {', '.join(header)}"
        )
    values = tuple(_value(row, header, f"{name}, line {number}") for number, row in enumerate(rows[1:], 2))
    for number, value in enumerate(values):
        if value in values[max(0, number - 1) : number]:
            raise RecordError(f"{name}, line {number + 2}: it repeats the line above; expected each once")
    return values


def _value(row: Sequence[str], header: Sequence[str], where: str) -> Value:
    if len(row) != len(header):
        raise RecordError(f"{where}: got {len(row)} columns, expected {len(header)}")
    cells = dict(zip(header, row, strict=True))
    for column, (fits, expected) in _EXPECTED.items():
        if not fits(cells[column]):
            raise RecordError(f"{where}, column {column}: got {cells[column][:80]!r}, expected {expected}")
    return Value(**{**cells, "year": int(cells["year"]), "value": float(cells["value"])})  # type: ignore[arg-type]


class _Rule(NamedTuple):
    fits: Callable[[str], object]
    expected: str


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch


def _range(text: str) -> bool:
    if text == ALL:
        return True
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text, re.ASCII)
    return found is not None and (found[2] is None or int(found[1]) < int(found[2]))


def _percent(text: str) -> bool:
    return re.fullmatch(r"\d{1,3}(\.\d{1,4})?", text, re.ASCII) is not None and float(text) <= 100


_TEXT = _Rule(str.strip, "some text")
_EXPECTED: dict[str, _Rule] = {
    "method": _TEXT,
    "paper_title": _TEXT,
    "year": _Rule(_matches(r"20\d\d"), "a year, 2000 to 2099"),
    "dataset": _Rule(_matches(r"[a-z][a-z0-9]*"), "a name in small letters and digits"),
    "scenario": _Rule(_matches(r"\d{1,4}-\d{1,4}"), "base and increment, as 15-1"),
    "setting": _Rule(get_args(PublishedSetting).__contains__, ", ".join(get_args(PublishedSetting))),
    "metric": _Rule("miou".__eq__, "miou"),
    "classes": _Rule(_range, "'all', one label, or a range from low to high as 0-15"),
    "value": _Rule(_percent, "a percentage from 0 to 100 in plain digits"),
    "source": _TEXT,
}
