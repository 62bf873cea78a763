"""The page of one run, and its record beside it."""

from __future__ import annotations

from typing import NamedTuple

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


def write_run(site: Site, run: Run, home: Home | None, content: bytes, kept: Kept | None) -> None:
    """Write a run's page, its record as it is (``content``), its scores by step, the pictures it kept.

    Nothing else may be read here: a page is written anew only where one of these changed.
    """
    path = run.page
    record = run.record
    site.page(
        "run.html.j2",
        f"{path}.html",
        section="boards",
        record=record,
        slug=run.slug,
        read_from=run.path,
        board=home,
        method=slug(record.method, record.method),
        headline=_headline(run),
        steps=[f"+{size}" if t else f"{size} classes" for t, size in enumerate(record.step_sizes)][
            : len(record.steps)
        ],
        scores=_score_lines(run),
        heat=heat_lines(run),
        gallery=write_gallery(site, run, kept) if kept else None,
        mistakes=mistakes(record),
        losses=loss_charts(record.steps),
        breakdowns=breakdowns(record),
        costs=costs(run),
        measured=measured(record),
        uncounted=uncounted(record),
        provenance=provenance(record),
        environment=environment(record),
    )
    site.output.write(f"{path}.json", content)
    rows = step_rows(run)
    site.output.write(f"{path}.csv", csv(rows, list(rows[0]) if rows else ["step"]))


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
