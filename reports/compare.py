"""Two variants or runs on one board: differences with intervals, by class, and ratios of costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmark.errors import RecordError
from reports.bootstrap import Interval, difference, over_seeds
from reports.classes import row_names
from reports.columns import BY_KEY, COLUMNS, Column
from reports.opponents import Match, Side, matches
from reports.perimage import Floats
from reports.samples import Samples, samples
from reports.tables import Cell, aggregate

SCORES = (
    "miou_all_percent",
    "miou_old_percent",
    "miou_new_percent",
    "forgetting_points",
    "forget_score_points",
    "netscore_train",
    "netscore_clora",
    "netscore_deploy",
)
SAME_DIFFERENCE = {"forget_score_points": "miou_all_percent"}
"""A difference that is another's: what joint training reaches is taken from both sides."""
RELATIVE = {"memory_ratio": "peak_train_bytes", "iteration_ratio": "iteration_seconds"}
COSTS = tuple(column for column in COLUMNS if column.group not in ("accuracy", "netscore"))
Verdict = Literal["a", "b", "none", "unknown"]


@dataclass(frozen=True)
class Difference:
    """A score of both sides (means over seeds), ``a`` minus ``b``, and its interval.

    ``reason`` says why there is no interval, or no difference.
    """

    label: str
    a: Cell
    b: Cell
    value: float | None
    interval: Interval | None
    higher_is_better: bool
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """Which side is better: ``none`` where the interval covers zero, ``unknown`` without one."""
        if self.interval is None:
            return "unknown"
        low, high = self.interval
        if low <= 0 <= high:
            return "none"
        return "a" if (low > 0) == self.higher_is_better else "b"


@dataclass(frozen=True)
class ScoreLine:
    """A column of the boards, compared."""

    column: Column
    difference: Difference


@dataclass(frozen=True)
class ClassLine:
    """A class, compared by IoU in percent; ``step`` is the one it was learnt in."""

    step: int
    difference: Difference


@dataclass(frozen=True)
class CostLine:
    """A cost of both sides, and ``a`` over ``b``; ``reason`` says why there is no ratio."""

    column: Column
    a: float | None
    b: float | None
    ratio: float | None
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two sides on one board. ``unpaired``: why no difference has an interval; empty where they have."""

    match: Match
    scores: tuple[ScoreLine, ...]
    classes: tuple[ClassLine, ...]
    costs: tuple[CostLine, ...]
    unpaired: str


class Drawn(NamedTuple):
    """A side's means over seeds in each draw: its scores (draws,) by column, its IoU (draws, outputs)."""

    test_set: str
    scores: Mapping[str, Floats]
    iou: Floats


def compare(results: Path, first: str, second: str, boards: Sequence[str] = ()) -> tuple[Comparison, ...]:
    """Compare two variants or record files on each board that has both, or on those named.

    Raises RecordError, one sentence, where they cannot be compared.
    """
    return tuple(compared(match) for match in matches(results, first, second, boards))


def compared(match: Match) -> Comparison:
    """Compare the two sides of a match."""
    a, b = match.a, match.b
    _refuse_unlike(a, b)
    drawn, unpaired = None, ""
    try:
        drawn = _paired(a, b)
    except RecordError as error:
        unpaired = str(error)
    lines = _scores(a, b, drawn, unpaired), _classes(a, b, drawn, unpaired), _costs(a, b)
    return Comparison(match, *lines, unpaired)


def _paired(a: Side, b: Side) -> tuple[Drawn, Drawn]:
    first, second = _drawn(a), _drawn(b)
    if first.test_set != second.test_set:
        raise RecordError("they were scored on different test images")
    return first, second


def _refuse_unlike(a: Side, b: Side) -> None:
    """Records of one digest have the same classes; a forged one might not."""
    shapes = {(r.classes, r.step_sizes, r.background) for r in [*a.records, *b.records]}
    if len(shapes) > 1:
        raise RecordError(
            f"records of {a.name} and {b.name} name one protocol digest, but differ in classes or steps"
        )


def _drawn(side: Side) -> Drawn:
    runs = [_named(side, index) for index in range(len(side.members))]
    if len({run.test_set for run in runs}) > 1:
        raise RecordError(f"the seeds of {side.name} were scored on different test images")
    test_set = runs[0].test_set
    keys = [key for key in runs[0].scores if all(key in run.scores for run in runs)]
    scores = {key: over_seeds([run.scores[key] for run in runs], test_set) for key in keys}
    columns = [over_seeds([run.iou[:, i] for run in runs], test_set) for i in range(runs[0].iou.shape[1])]
    return Drawn(test_set, scores, np.stack(columns, axis=1))


def _named(side: Side, index: int) -> Samples:
    member = side.members[index]
    try:
        return samples(member.measured.run, member.file)
    except RecordError as error:
        raise RecordError(f"{side.name}, seed {side.seeds[index]}: {error}") from error


def _scores(a: Side, b: Side, drawn: tuple[Drawn, Drawn] | None, reason: str) -> tuple[ScoreLine, ...]:
    cells = _cells(a, b)
    lines = []
    for key in SCORES:
        source = SAME_DIFFERENCE.get(key, key)
        draws = [side.scores.get(source) for side in drawn] if drawn else [None, None]
        column = BY_KEY[key]
        found = _difference(
            column.full_name, (cells[0][key], cells[1][key]), draws, column.better == "higher"
        )
        lines.append(ScoreLine(column, _reasoned(found, column.unknown, reason)))
    return tuple(lines)


def _cells(a: Side, b: Side) -> tuple[Mapping[str, Cell], Mapping[str, Cell]]:
    found = aggregate({i: [m.measured.measures for m in side.members] for i, side in enumerate((a, b))})
    return found[0], found[1]


def _difference(
    label: str, cells: Sequence[Cell], draws: Sequence[Floats | None], higher_is_better: bool
) -> Difference:
    (a, b), (first, second) = cells, draws
    value = a.mean - b.mean if a.mean is not None and b.mean is not None else None
    between = None
    if value is not None and first is not None and second is not None:
        between = difference(first, second)
    return Difference(label, a, b, value, between, higher_is_better)


def _reasoned(found: Difference, unknown: str, unpaired: str) -> Difference:
    reason = unknown if found.value is None else unpaired if found.interval is None else ""
    return replace(found, reason=reason)


def _classes(a: Side, b: Side, drawn: tuple[Drawn, Drawn] | None, reason: str) -> tuple[ClassLine, ...]:
    record = a.records[0]
    names = row_names(record)
    cells = [_class_cells(side) for side in (a, b)]
    learnt = [0, *(step for step, size in enumerate(record.step_sizes) for _ in range(size))]
    lines = []
    for index in range(0 if record.background else 1, len(names)):
        draws = [side.iou[:, index] for side in drawn] if drawn else [None, None]
        found = _difference(names[index], [side[str(index)] for side in cells], draws, True)
        lines.append(ClassLine(learnt[index], _reasoned(found, "no test pixel and never predicted", reason)))
    return tuple(lines)


def _class_cells(side: Side) -> Mapping[str, Cell]:
    finals = [member.measured.run.scores.final.iou for member in side.members]
    percent = [{str(i): None if v is None else 100 * v for i, v in enumerate(iou)} for iou in finals]
    return aggregate({0: percent})[0]


def _costs(a: Side, b: Side) -> tuple[CostLine, ...]:
    cells = _cells(a, b)
    alike = a.hardware == b.hardware and len(a.hardware) == 1
    lines = [_cost(column, cells[0][column.key].mean, cells[1][column.key].mean) for column in COSTS]
    return tuple(
        line if alike or not line.column.hardware else _apart(line, a, b)
        for line in lines
        if (line.a is not None or line.b is not None) and not (alike and line.column.key in RELATIVE)
    )


def _cost(column: Column, a: float | None, b: float | None) -> CostLine:
    if a is None or b is None:
        return CostLine(column, a, b, None, column.unknown)
    return CostLine(column, a, b, a / b) if b else CostLine(column, a, b, None, "over 0")


def _apart(line: CostLine, a: Side, b: Side) -> CostLine:
    """Return a cost that means nothing across hardware without its ratio."""
    where = [" and ".join(side.hardware) for side in (a, b)]
    return CostLine(line.column, line.a, line.b, None, f"{a.name} ran on {where[0]}, {b.name} on {where[1]}")
