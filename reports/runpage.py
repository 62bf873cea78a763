"""The page of one run, and its record beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmark.record import Record
from reports.album import Kept, write_gallery
from reports.columns import BY_KEY, text, unit
from reports.costview import breakdowns, costs
from reports.exports import step_rows
from reports.pages import Site
from reports.runs import Run, slug
from reports.runview import (
    Field,
    StepLine,
    environment,
    heat_lines,
    loss_charts,
    measured,
    mistakes,
    provenance,
    uncounted,
)
from reports.summary import INPUTS
from reports.tables import csv

HEADLINE = (
    "miou_all_percent",
    "miou_old_percent",
    "miou_new_percent",
    "forgetting_points",
    "miou_average_percent",
)


class Home(NamedTuple):
    """The board a run is on: all that its page says of other runs, so that they may change without it."""

    slug: str
    protocol: str
    model: str


class RunView(NamedTuple):
    """What a run's page says, by the names its template has for it, and its scores by step as CSV."""

    said: Mapping[str, Any]
    table: bytes


def run_views(runs: Sequence[Run]) -> list[RunView]:
    """Return what the pages of runs show of them, as :func:`write_run` takes it.

    One thing after the other, each of all runs: to look at one run after the other takes a third longer, as
    the code and data of each thing push those of the next out of the CPU's caches.
    """
    said = [[say(run) for run in runs] for say in _SAID.values()]
    tables = [_table(run) for run in runs]
    return [
        RunView(dict(zip(_SAID, line, strict=True)), table)
        for *line, table in zip(*said, tables, strict=True)
    ]


def write_run(
    site: Site, run: Run, view: RunView, home: Home | None, content: bytes, kept: Kept | None
) -> None:
    """Write a run's page, its record as it is (``content``), its scores by step, the pictures it kept.

    Nothing else may be read here: a page is written anew only where one of these changed.
    """
    gallery = write_gallery(site, run, kept) if kept else None
    site.page("run.html.j2", f"{run.page}.html", section="boards", board=home, gallery=gallery, **view.said)
    site.output.write(f"{run.page}.json", content)
    site.output.write(f"{run.page}.csv", view.table)


def _table(run: Run) -> bytes:
    rows = step_rows(run)
    return csv(rows, list(rows[0]) if rows else ["step"])


def _step_titles(record: Record) -> list[str]:
    sizes = record.step_sizes[: len(record.steps)]
    return [f"+{size}" if t else f"{size} classes" for t, size in enumerate(sizes)]


def _headline(run: Run) -> tuple[Field, ...]:
    if not run.ok:
        return ()
    keys = [*HEADLINE, *(f"netscore_{board}" for board in INPUTS)]
    return tuple(_field(run, key) for key in keys)


def _field(run: Run, key: str) -> Field:
    column, value = BY_KEY[key], run.measures[key]
    scale = unit(column, [value])
    return Field(column.full_name, f"{text(column, value, scale)} {scale.name}", value is None)


def _score_lines(run: Run) -> tuple[StepLine, ...]:
    steps = run.scores.steps
    return tuple(
        StepLine(f"mIoU {key}", tuple(_percent(getattr(step, key)) for step in steps))
        for key in ("all", "old", "new")
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


_SAID: Mapping[str, Callable[[Run], object]] = {
    "record": lambda run: run.record,
    "slug": lambda run: run.slug,
    "read_from": lambda run: run.path,
    "method": lambda run: slug(run.record.method, run.record.method),
    "headline": _headline,
    "steps": lambda run: _step_titles(run.record),
    "scores": _score_lines,
    "heat": heat_lines,
    "mistakes": lambda run: mistakes(run.record),
    "losses": lambda run: loss_charts(run.record.steps),
    "breakdowns": lambda run: breakdowns(run.record),
    "costs": costs,
    "measured": lambda run: measured(run.record),
    "uncounted": lambda run: uncounted(run.record),
    "provenance": lambda run: provenance(run.record),
    "environment": lambda run: environment(run.record),
}
"""What a page says of a run alone, by the names its template has for it."""
