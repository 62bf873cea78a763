"""One run as its page shows it: every field of its record, per-step tables, losses, mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from benchmark.record import Record, StepRecord
from reports.columns import number
from reports.compact import confusions
from reports.runs import Run

_NOT_IN_LISTS = {"steps", "environment", "error", "confusion", "losses", "index", "classes"}
_LISTED_APART = {"uncounted", "train_uncounted"}
_NOT_OF_STEPS = _NOT_IN_LISTS | _LISTED_APART
_UNKNOWN = "–"
_LEAVES = {int, bool, float, str, tuple, type(None)}
_MISTAKES = 12


class Field(NamedTuple):
    """A name and its printed value; ``unknown`` where it is null."""

    name: str
    value: str
    unknown: bool = False


class StepLine(NamedTuple):
    """One field of the steps: a value for each step."""

    name: str
    values: tuple[str, ...]


class HeatCell(NamedTuple):
    """IoU in percent, printed, and its shade from 0 to 10; empty where not seen."""

    text: str
    shade: int | None
    note: str = ""


class HeatLine(NamedTuple):
    """One class: its cells by step."""

    name: str
    cells: tuple[HeatCell, ...]


class Mistake(NamedTuple):
    """What share of a class's test pixels was called something else after the last step."""

    truth: str
    guess: str
    percent: str


class LossChart(NamedTuple):
    """One term over the run: points of polylines in a box 100 wide and 30 high, its range, its steps."""

    name: str
    lines: tuple[str, ...]
    low: str
    high: str
    edges: tuple[str, ...]


def provenance(record: Record) -> tuple[Field, ...]:
    """Return every field of a record that is not a step's, in the record's order."""
    return tuple(_fields(record, _NOT_IN_LISTS))


def environment(record: Record) -> tuple[Field, ...]:
    """Return where the run ran."""
    return tuple(_fields(record.environment, set()))


def _fields(part: Any, without: set[str]) -> Iterator[Field]:
    for name, value in vars(part).items():
        if name not in without:
            yield Field(name.replace("_", " "), _plain(value), value is None)


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


class Measured(NamedTuple):
    """Fields with a value in some step, and the names of those without."""

    lines: tuple[StepLine, ...]
    unknown: tuple[str, ...]


def measured(record: Record) -> Measured:
    """Return every number of the steps, a line a field; what is null in all of them by name alone."""
    flat: list[dict[str, Any]] = [{} for _ in record.steps]
    for step, values in zip(record.steps, flat, strict=True):
        _flatten(vars(step), values)
    known: list[StepLine] = []
    unknown: list[str] = []
    for path in dict.fromkeys(chain.from_iterable(flat)):
        line = [values.get(path) for values in flat]
        printed = tuple([_UNKNOWN if v is None or v == () else _measured(path, v) for v in line])
        name = path.replace("_", " ")
        if printed.count(_UNKNOWN) == len(printed):
            unknown.append(name)
        else:
            known.append(StepLine(name, printed))
    return Measured(tuple(known), tuple(unknown))


def uncounted(record: Record) -> tuple[Field, ...]:
    """Return the operators that the counters took for zero at the last step, by calls."""
    if not record.steps:
        return ()
    compute = record.steps[-1].compute
    tables = {"in an inference": compute.uncounted, "in a training iteration": compute.train_uncounted}
    return tuple(
        Field(where, ", ".join(f"{name} × {calls}" for name, calls in sorted(table.items())) or "none")
        for where, table in tables.items()
    )


def _flatten(part: Mapping[str, Any], into: dict[str, Any], prefix: str = "") -> None:
    """Add every value below ``part`` by its path: fields of fields, entries of tables."""
    without = _LISTED_APART if prefix else _NOT_OF_STEPS
    for name, value in part.items():
        if name in without:
            continue
        if type(value) in _LEAVES:
            into[prefix + name] = value
        else:
            _flatten(value if isinstance(value, dict) else vars(value), into, f"{prefix}{name} · ")


def _measured(path: str, value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return _bytes(value) if "bytes" in path else number(value, 0)
    return "; ".join(map(str, value)) if isinstance(value, tuple) else value[:12]


def _bytes(value: int) -> str:
    power = min(3, (max(value, 1).bit_length() - 1) // 10)
    return (
        f"{number(value / 2 ** (10 * power), 0 if power == 0 else None)} {('B', 'KiB', 'MiB', 'GiB')[power]}"
    )


def row_names(record: Record) -> tuple[str, ...]:
    """Return the names of a confusion matrix's rows."""
    return ("background" if record.background else "unlabelled", *record.classes)


def heat_lines(run: Run) -> tuple[HeatLine, ...]:
    """Return IoU by class and step; index 0 only where the dataset has a background class."""
    names = row_names(run.record)
    start = 0 if run.record.background else 1
    steps = [step.iou for step in run.scores.steps]
    return tuple(
        HeatLine(names[row], tuple([_heat(iou, row) for iou in steps])) for row in range(start, len(names))
    )


def _heat(iou: Sequence[float | None], row: int) -> HeatCell:
    if row >= len(iou):
        return _NOT_LEARNT
    value = iou[row]
    return heat_cell(None if value is None else 100 * value, True)


_NOT_LEARNT = HeatCell("", None, "not learnt yet")
_NEVER_MET = HeatCell("–", None, "no test pixel and never predicted")


def heat_cell(percent: float | None, learnt: bool) -> HeatCell:
    """Return a cell of IoU: printed in percent and shaded, or empty with the reason."""
    if not learnt:
        return _NOT_LEARNT
    return _NEVER_MET if percent is None else HeatCell(f"{percent:.1f}", round(percent / 10))


def mistakes(record: Record) -> tuple[Mistake, ...]:
    """Return the largest shares of a seen class's pixels given to another output after the last step."""
    if not record.steps:
        return ()
    names = row_names(record)
    matrix = np.asarray(confusions(record)[-1], dtype=np.int64)
    seen = matrix[: matrix.shape[1]]
    totals = seen.sum(axis=1, keepdims=True)
    shares = 100 * seen / np.maximum(totals, 1)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:_MISTAKES]
    largest = zip(order.tolist(), shares.ravel()[order].tolist(), strict=True)
    pairs = ((divmod(at, shares.shape[1]), share) for at, share in largest)
    return tuple(Mistake(names[i], names[j], f"{share:.1f}") for (i, j), share in pairs if share > 0)


def loss_charts(steps: Sequence[StepRecord]) -> tuple[LossChart, ...]:
    """Return a small chart for each loss term, all steps end to end; a gap where a value is unknown."""
    names = list(dict.fromkeys(name for step in steps for name in step.losses))
    return tuple(_chart(name, [step.losses.get(name, ()) for step in steps]) for name in names)


def _chart(name: str, steps: Sequence[Sequence[float | None]]) -> LossChart:
    known = [value for step in steps for value in step if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span = (high - low) or 1.0
    width = 100 / max(len(steps), 1)
    lines: list[str] = []
    for t, step in enumerate(steps):
        points: list[str] = []
        for i, value in enumerate([*step, None]):
            if value is not None:
                x = (t + (i + 0.5) / len(step)) * width
                points.append(f"{x:.2f},{28 - 26 * (value / span - low / span):.2f}")
            elif points:
                lines.append(" ".join(points if len(points) > 1 else points * 2))  # two: a lone point is seen
                points = []
    edges = tuple(f"{t * width:.2f}" for t in range(1, len(steps)))
    return LossChart(name, tuple(lines), number(low), number(high), edges)
