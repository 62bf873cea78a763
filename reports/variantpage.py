"""The page of a variant's runs, and their records beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmark.record import Record
from reports.album import Gallery, Kept, write_gallery
from reports.classes import class_table, mistakes
from reports.columns import BY_KEY, spread_text, text, unit
from reports.costlist import costs_of
from reports.exports import step_rows
from reports.fields import Field, environment, measured, provenance, run_heads, uncounted
from reports.losscharts import loss_charts
from reports.pages import Site
from reports.runs import Run, slug
from reports.summary import INPUTS
from reports.tables import csv
from reports.variants import Variant, spread, whole_mean
from reports.view import Badge

HEADLINE = (
    "miou_all_percent",
    "miou_old_percent",
    "miou_new_percent",
    "forgetting_points",
    "miou_average_percent",
    *(f"netscore_{board}" for board in INPUTS),
)


class Beside(NamedTuple):
    """What lies beside a run and is shown with it: its record as it is, the pictures it kept."""

    content: bytes
    kept: Kept | None


class RunLine(NamedTuple):
    """One run in the list of those of its variant."""

    run: Run
    label: str
    note: str
    values: tuple[str, ...]


class Pictured(NamedTuple):
    """The pictures of one run."""

    label: str
    gallery: Gallery


def write_variant(site: Site, variant: Variant, beside: Sequence[Beside]) -> None:
    """Write a variant's page, its scores by step as a table, and of each run the record and the pictures.

    ``beside``: of each run. Nothing else may be read here: a page is written anew only where one changed.
    """
    runs, records = variant.runs, [run.record for run in variant.runs]
    pictures = [
        Pictured(variant.labels[run.slug], write_gallery(site, run, kept))
        for run, (_, kept) in zip(runs, beside, strict=True)
        if kept
    ]
    first, taken, places = variant.first, provenance(records), environment(records)
    site.page(
        "variant.html.j2",
        f"{variant.page}.html",
        section="boards",
        variant=variant,
        file=variant.page.rpartition("/")[2],
        first=first,
        method=slug(first.method, first.method),
        headline=_headline(variant),
        badges=_badges(records),
        dirty=any(record.dirty for record in records),
        failures=[(variant.labels[r.slug], r.record.error) for r in runs if r.record.error],
        lines=_lines(variant),
        heads=[BY_KEY[key].full_name for key in HEADLINE],
        steps=_step_titles(first),
        classes=class_table(variant),
        pictures=pictures,
        mistakes=mistakes(variant),
        losses=loss_charts([record.steps for record in records]),
        costs=costs_of(variant),
        measured=measured(records),
        uncounted=uncounted({variant.labels[run.slug]: run.record for run in runs}),
        run_heads=run_heads(variant),
        provenance=taken.same,
        environment=places.same,
        apart=(*taken.apart, *places.apart),
    )
    for run, (content, _) in zip(runs, beside, strict=True):
        site.output.write(f"{run.stem}.json", content)
    rows = step_rows(runs)
    site.output.write(f"{variant.page}.csv", csv(rows, list(rows[0]) if rows else ["step"]))


def _step_titles(record: Record) -> list[str]:
    return [f"+{size}" if t else f"{size} classes" for t, size in enumerate(record.step_sizes)]


def _badges(records: Sequence[Record]) -> list[Badge]:
    names = [record.status for record in records]
    return [Badge(name, names.count(name)) for name in sorted(set(names), key=lambda n: (n != "ok", n))]


def _headline(variant: Variant) -> tuple[Field, ...]:
    """Return the mean of the counted runs and its spread; nothing where no run finished."""
    return tuple(_field(variant.counted, key) for key in HEADLINE) if variant.counted else ()


def _field(runs: Sequence[Run], key: str) -> Field:
    column, values = BY_KEY[key], [run.measures[key] for run in runs]
    mean, scale = whole_mean(values), unit(column, values)
    printed, varied = text(column, mean, scale), spread_text(column, mean, spread(values), scale)
    return Field(column.full_name, f"{printed}{f' ± {varied}' if varied else ''} {scale.name}", mean is None)


def _lines(variant: Variant) -> list[RunLine]:
    """Return a line a run; nothing where there is one alone."""
    if not variant.many:
        return []
    scales = [unit(BY_KEY[key], [run.measures.get(key) for run in variant.runs]) for key in HEADLINE]
    counted = {run.slug for run in variant.counted}
    return [
        RunLine(
            run,
            variant.labels[run.slug],
            "older twin, not counted" if run.ok and run.slug not in counted else "",
            tuple(
                text(BY_KEY[key], run.measures.get(key), scale)
                for key, scale in zip(HEADLINE, scales, strict=True)
            ),
        )
        for run in variant.runs
    ]
