"""Figures of what learning costs: by part for each method, and over the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from statistics import stdev

from benchmark.metrics import mean
from benchmark.record import Record, StepRecord
from reports.boards import Board, Row
from reports.columns import BY_KEY, Kind, Unit, scale_of
from reports.costbars import COMPUTE, MEMORY, tone
from reports.figures import Figure, Styles, pictured, step_names
from reports.runs import comparable, later_steps, peak_bytes, shared_gpu
from reports.specs import BarPanel, BarRow, Bars, Course, CoursePanel, Courses, shown
from reports.tables import rounded

Parts = Mapping[str, float]
SIZES = ("trainable", "total", "deployed")


def cost_figures(board: Board, style: Styles) -> Iterator[Figure]:
    """Yield the breakdown of costs and their course over the steps, as far as the runs know them."""
    first = " The best row of each method." if len(pictured(board)) < sum(r.ok for r in board.rows) else ""
    if bars := cost_breakdown(board):
        caption = (
            f"Of a training iteration at the last step; mean over seeds. {_left_out(board, bars)}{first}"
        )
        yield Figure(
            "breakdown", "What learning costs, by part", _spoken(bars), bars, caption.strip(), True, True
        )
    if courses := cost_over_steps(board, style):
        title = "Cost over the steps"
        caption = f"What a scenario with more steps costs. Shaded: standard deviation over seeds.{first}"
        said = (
            f"{title}: {', '.join(panel.title for panel in courses.panels)}. The pages of the runs have them."
        )
        yield Figure("cost-steps", title, said, courses, caption, True, True)


def _left_out(board: Board, bars: Bars) -> str:
    if any(panel.title.startswith("Memory") for panel in bars.panels):
        return ""
    if len(board.hardware) > 1:
        return "Memory is left out, as it is not comparable across hardware."
    return "Memory is left out, as no run tells its parts."


def _spoken(bars: Bars) -> str:
    said = []
    for panel in bars.panels:
        totals = [f"{row.label} {(sum if panel.stacked else max)(row.values):.3g}" for row in panel.rows]
        said.append(f"{panel.title}: {', '.join(totals)}")
    return f"{'. '.join(said)}."


def cost_breakdown(board: Board) -> Bars | None:
    """Return compute and memory by part, and parameters, of the last step; None without a finished run.

    Rows have no bar where a part is not known or not comparable.
    """
    rows = pictured(board)
    panels = [
        _panel("Compute", rows, [_mean(row, _flops) for row in rows], COMPUTE, "operations", "FLOPs"),
        _panel(
            "Parameters", rows, [_mean(row, _sizes) for row in rows], SIZES, "millions", "", stacked=False
        ),
    ]
    if BY_KEY["peak_train_bytes"] in board.columns:
        panels.insert(1, _panel("Memory", rows, [_mean(row, _memory) for row in rows], MEMORY, "bytes", ""))
    known = tuple(panel for panel in panels if panel)
    return Bars(known) if rows and known else None


def _flops(record: Record) -> Parts:
    compute = comparable(record.steps[-1].compute)
    return {} if compute.train_flops is None else compute.train_flops_by_part


def _sizes(record: Record) -> Parts:
    return {name: getattr(record.steps[-1].parameters, name) for name in SIZES}


def _memory(record: Record) -> Parts:
    """Return the parts of the largest peak of training, over the steps that a table's peak is over."""
    peaks = [(peak_bytes(record, step, ("train",)) or 0, step) for step in later_steps(record)]
    _, step = max(peaks, key=lambda entry: entry[0])
    return step.peak_bytes["train"].parts if "train" in step.peak_bytes else {}


def _mean(row: Row, parts: Callable[[Record], Parts]) -> Parts:
    """Return the mean of each part over the seeds of a row; none where one seed knows none."""
    found = [parts(measured.run.record) for measured in row.counted]
    if not all(found):
        return {}
    names = dict.fromkeys(name for each in found for name in each)
    return {name: sum(each.get(name, 0) for each in found) / len(found) for name in names}


def _panel(
    title: str, rows: Sequence[Row], parts: Sequence[Parts], order: Sequence[str], kind: Kind, what: str,
    stacked: bool = True,
) -> BarPanel | None:  # fmt: skip
    """Return a panel with the parts that are anywhere above zero; None where none is."""
    names = [*order, *sorted({name for each in parts for name in each} - set(order))]
    used = tuple(name for name in names if any(each.get(name) for each in parts))
    if not used:
        return None
    scale = scale_of(kind, [sum(each.values()) or None for each in parts])
    values = [tuple(rounded(each.get(name, 0.0) / scale.factor) or 0.0 for name in used) for each in parts]
    drawn = tuple(BarRow(shown(row.variant, 24), line) for row, line in zip(rows, values, strict=True))
    return BarPanel(f"{title} ({scale.name}{what})", used, tuple(map(tone, used)), drawn, stacked)


def cost_over_steps(board: Board, style: Styles) -> Courses | None:
    """Return parameters, state, compute and seconds over the steps; None for one step or without a run."""
    rows = pictured(board)
    if not rows or len(board.first.step_sizes) < 2:
        return None
    panels = [
        _course_panel("Parameters", "millions", rows, style, _each(lambda s: s.parameters.total)),
        _course_panel("Carried state", "bytes", rows, style, _each(lambda s: s.state_bytes)),
        _course_panel("FLOPs / iteration", "operations", rows, style,
                      _each(lambda s: comparable(s.compute).train_flops)),
    ]  # fmt: skip
    if BY_KEY["seconds_total"] in board.columns:
        panels.append(_course_panel("Learning so far", "seconds", rows, style, _learning))
    known = tuple(panel for panel in panels if panel)
    return Courses(known, step_names(board), shared=False) if known else None


Series = Callable[[Record], Sequence[float | None]]


def _each(value: Callable[[StepRecord], float | None]) -> Series:
    return lambda record: [value(step) for step in record.steps]


def _learning(record: Record) -> Sequence[float | None]:
    """Return the seconds of all phases but evaluation, up to each step; None on a GPU others used too."""
    if shared_gpu(record.steps):
        return [None] * len(record.steps)
    phases = (step.seconds for step in record.steps)
    return list(
        accumulate(s.prepare + s.instrumented + s.train + s.data_wait + s.consolidate for s in phases)
    )


def _course_panel(
    title: str, kind: Kind, rows: Sequence[Row], style: Styles, series: Series
) -> CoursePanel | None:
    """Return a panel; None where no row has a value above zero."""
    runs = {row.variant: [series(m.run.record) for m in row.counted] for row in rows}
    values = [value for found in runs.values() for run in found for value in run]
    if not any(values):
        return None
    scale = scale_of(kind, [max(value for value in values if value is not None)])
    courses = tuple(_course(row, style, runs[row.variant], scale) for row in rows)
    return CoursePanel(f"{title} ({scale.name})", courses, None)


def _course(row: Row, style: Styles, runs: Sequence[Sequence[float | None]], scale: Unit) -> Course:
    steps = list(zip(*runs, strict=True))
    means = tuple(None if None in s else rounded((mean(s) or 0.0) / scale.factor) for s in steps)
    spread = tuple(_spread(s, scale) for s in steps)
    return Course(shown(row.variant), style[row.variant], means, spread)


def _spread(values: Sequence[float | None], scale: Unit) -> float | None:
    known = [value for value in values if value is not None]
    return rounded(stdev(known) / scale.factor) if len(known) == len(values) > 1 else None
