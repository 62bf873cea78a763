"""Numbers from papers: the lines they were printed in, by which convention, and beside which board."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from benchmark.errors import RecordError
from benchmark.record import sha256_of
from reports.load import PUBLISHED, LeftOut
from reports.papersfile import ALL, FILE, Value, read_published

if TYPE_CHECKING:
    from reports.boards import Board

Convention = Literal["with", "without", "all only", "unclear", "unsaid"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
ROUNDING = 0.1
"""How far a printed mean may be from that of printed parts: half a digit each, of one decimal."""
DATASETS = {"voc": "voc2012", "ade": "ade20k", "cityscapes": "cityscapes"}
"""Names of datasets here, and in the file."""
ADAPTERS = {"ft": "fine_tune", "pi": "si", "sdr_mib": "sdr"}
"""Adapters by printed names that are not theirs: SDR's default here is on top of MiB."""
PLAUSIBLE_BACKGROUND = (75.0, 100.0)
"""IoU in percent that background reaches wherever it is printed; an implied one outside is a misprint."""


class Span(NamedTuple):
    """Labels a mean is over, both ends in it."""

    first: int
    last: int

    @property
    def classes(self) -> int:
        """How many labels."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Line:
    """What one table prints of one method in one scenario and setting: values in percent by class range.

    ``first`` is the first of them; what they share is read from it.
    """

    first: Value
    values: Mapping[str, float]
    notes: tuple[str, ...]

    @cached_property
    def convention(self) -> Convention:
        """Whether background counts in the printed means: by the ranges, and for ``all`` by arithmetic."""
        return _convention(self.values)


class Papers(NamedTuple):
    """What was read of the numbers from papers: values, the lines they form, what was left out, a digest."""

    values: tuple[Value, ...] = ()
    lines: tuple[Line, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class PublishedPoint:
    """A published line beside the rows of a board of the same dataset, scenario and setting.

    ``all``, ``old``, ``new``: mIoU in percent as printed, None where it is not. No paper prints a cost as
    this benchmark counts it, so there is no cost to plot against. ``method``: the adapter it is by, if
    there is one. ``comparable``: its means are over the same classes as the board's.
    """

    label: str
    method: str
    all: float | None
    old: float | None
    new: float | None
    convention: Convention
    comparable: bool
    line: Line


def read_papers(results: Path) -> Papers:
    """Read the numbers from papers; a file that breaks a rule is left out whole, with its reason."""
    try:
        values = read_published(results)
    except RecordError as error:
        return Papers(left_out=(LeftOut(f"{PUBLISHED}/{FILE}", str(error)),))
    return Papers(values, lines_of(values), digest=sha256_of(repr(values).encode()))


def lines_of(values: Iterable[Value]) -> tuple[Line, ...]:
    """Gather values into the lines they were printed in: neighbours that share all but range and note."""
    groups: list[list[Value]] = []
    for value in values:
        last = groups[-1] if groups else []
        again = value.classes in {other.classes for other in last}
        if last and not again and _printed_in(value) == _printed_in(last[0]):
            last.append(value)
        else:
            groups.append([value])
    return tuple(
        Line(
            group[0],
            {v.classes: v.value for v in group},
            tuple(dict.fromkeys(v.note for v in group if v.note)),
        )
        for group in groups
    )


def _printed_in(value: Value) -> tuple[object, ...]:
    place = (value.dataset, value.scenario, value.setting, value.backbone)
    return (value.method, value.paper_title, value.year, *place, value.source)


def span(classes: str) -> Span | None:
    """Return the labels of a range as printed; None for ``all``."""
    if classes == ALL:
        return None
    first, _, last = classes.partition("-")
    return Span(int(first), int(last or first))


def old_range(values: Iterable[str]) -> str | None:
    """Return the range of the base classes: the one that starts at background or at class 1."""
    return next((name for name in values if (found := span(name)) and found.first <= 1), None)


def _convention(values: Mapping[str, float]) -> Convention:
    old = old_range(values)
    if old is None:
        return "unsaid"
    stated: Convention = "with" if old.startswith("0") else "without"
    if ALL not in values or len(values) == 2:
        return stated
    parts = [(found.classes, value) for name, value in values.items() if (found := span(name))]
    count = sum(classes for classes, _ in parts)
    total = sum(classes * value for classes, value in parts)
    if math.isclose(values[ALL], total / count, abs_tol=ROUNDING + 1e-9):
        return stated
    low, high = PLAUSIBLE_BACKGROUND
    implied = (count + 1) * values[ALL] - total
    return "all only" if stated == "without" and low <= implied <= high else "unclear"


def published_lines(board: Board, lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines of a board's dataset and scenario: those of its setting, then of none stated."""
    first = board.first
    place = (DATASETS.get(first.dataset), first.scenario)
    found = [line for line in lines if (line.first.dataset, line.first.scenario) == place]
    return tuple(x for s in (first.setting, "unknown") for x in found if x.first.setting == s)


def published_points(board: Board, lines: Iterable[Line]) -> tuple[PublishedPoint, ...]:
    """Return what papers print for a board's dataset, scenario and setting; none where that is not stated."""
    found = (x for x in published_lines(board, lines) if x.first.setting == board.first.setting)
    return tuple(_point(line, "with" if board.first.background else "without") for line in found)


def adapter(method: str) -> str:
    """Return the name that the adapter of a printed method has, or would have."""
    name = re.sub(r"[^a-z0-9]+", "_", method.lower()).strip("_")
    return ADAPTERS.get(name, name)


def _point(line: Line, own: Convention) -> PublishedPoint:
    old = old_range(line.values)
    later = [name for name in line.values if name not in (ALL, old)]
    new = line.values[later[0]] if old and len(later) == 1 else None
    return PublishedPoint(
        line.first.method, adapter(line.first.method), line.values.get(ALL), line.values.get(old or ""), new,
        line.convention, line.convention == own, line,
    )  # fmt: skip
