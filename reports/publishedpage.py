"""The pages of numbers from papers: apart from what was measured, by convention, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from reports.boards import Board
from reports.columns import number
from reports.pages import Site
from reports.papersfile import ALL
from reports.published import CONVENTIONS, Convention, Line, published_lines, span
from reports.runs import slug
from reports.spread import Spread, spreads
from reports.tables import export

WIDEST = 20
"""Cells of the picture on the first page of published numbers."""
TITLES = {"voc2012": "PASCAL VOC 2012", "ade20k": "ADE20K", "cityscapes": "Cityscapes"}
SETTINGS = ("overlapped", "disjoint", "sequential", "unknown")
SAYS: dict[Convention, tuple[str, str]] = {
    "with": (
        "Background counts",
        "in the old range, which starts at 0, and in all: the convention of this benchmark where a dataset "
        "has a background class",
    ),
    "without": (
        "Background left out",
        "of the old range, which starts at 1, and of all: the convention of this benchmark where a dataset "
        "has no background class",
    ),
    "all only": (
        "Background in all alone",
        "the old range leaves it out; all lies higher than the printed parts allow without it",
    ),
    "unclear": (
        "Parts that do not add up",
        "all is not the mean of the printed parts by number of classes: a misprint, a range that is not "
        "what it says, or coarse rounding",
    ),
    "unsaid": ("All alone", "no other range is printed, so that the convention cannot be told"),
}


class LineView(NamedTuple):
    """A printed line: ``cells`` in the order of its table's ranges. ``arxiv``: number of its source there."""

    line: Line
    cells: tuple[str, ...]
    arxiv: str


class TableView(NamedTuple):
    """Lines of one convention, with the ranges they print."""

    convention: Convention
    title: str
    text: str
    ranges: tuple[str, ...]
    lines: tuple[LineView, ...]


class Dot(NamedTuple):
    """A printed value in a strip that goes from 0 to 100 %."""

    x: str
    convention: str
    title: str


class Strip(NamedTuple):
    """A cell's printed values on a line: ``text`` says them in words."""

    spread: Spread
    text: str
    points: str
    low: str
    high: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Group:
    """All that is printed for one scenario and setting of a dataset."""

    scenario: str
    setting: str
    tables: tuple[TableView, ...]
    strips: tuple[Strip, ...]

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"{self.scenario}-{self.setting}"

    @property
    def count(self) -> int:
        """How many lines."""
        return sum(len(table.lines) for table in self.tables)


class Beside(NamedTuple):
    """What is published for a board's protocol. ``measured``: what the board's own numbers are of.

    ``drawn``: whether some of it is over the board's own classes, and so in the figure.
    """

    dataset: str
    measured: str
    groups: tuple[Group, ...]
    drawn: bool


class Listed(NamedTuple):
    """A dataset in the list of published numbers."""

    name: str
    slug: str
    title: str
    groups: tuple[Group, ...]


def write_published(site: Site) -> None:
    """Write the list of published numbers, a page for each dataset, and their files; nothing without any."""
    papers = site.papers
    if not papers.values:
        return
    found = spreads(papers.lines)
    datasets = [_listed(name, papers.lines, found) for name in _names(papers.lines)]
    widest = sorted((s for s in found if s.classes == ALL), key=lambda s: -s.points)[:WIDEST]
    site.page(
        "published.html.j2", "published/index.html", "published", datasets=datasets, says=SAYS,
        conventions=_counts(papers.lines), strips=[strip(s) for s in widest], cells=len(found),
        sources=len({value.source for value in papers.values}), titles=TITLES,
    )  # fmt: skip
    for entry in datasets:
        path = f"published/{entry.slug}.html"
        site.page("published_dataset.html.j2", path, "published", dataset=entry)
    site.table("published/published", export([asdict(value) for value in papers.values]))
    site.table("published/spread", export([_row(spread) for spread in found]))


def _names(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(line.first.dataset for line in lines))


def _counts(lines: Sequence[Line]) -> Mapping[Convention, int]:
    return {c: sum(line.convention == c for line in lines) for c in CONVENTIONS}


def _listed(name: str, lines: Iterable[Line], found: Sequence[Spread]) -> Listed:
    own = [line for line in lines if line.first.dataset == name]
    places = sorted({(line.first.scenario, line.first.setting) for line in own}, key=_place)
    groups = tuple(_group(own, found, name, *place) for place in places)
    return Listed(name, slug(name, name), TITLES.get(name, name), groups)


def _place(place: tuple[str, str]) -> tuple[int, int, int]:
    base, increment = place[0].split("-")
    return -int(base), -int(increment), SETTINGS.index(place[1])


def _group(
    lines: Iterable[Line], found: Iterable[Spread], dataset: str, scenario: str, setting: str
) -> Group:
    own = [line for line in lines if (line.first.scenario, line.first.setting) == (scenario, setting)]
    cells = [s for s in found if (s.dataset, s.scenario, s.setting) == (dataset, scenario, setting)]
    ordered = sorted(cells, key=lambda s: (s.classes != ALL, _range(s.classes), -s.points))
    return Group(scenario, setting, tables(own), tuple(strip(s) for s in ordered))


def tables(lines: Sequence[Line], first: Convention = "with") -> tuple[TableView, ...]:
    """Return lines of one dataset, scenario and setting as tables, one a convention; oldest papers first."""
    order = sorted(CONVENTIONS, key=lambda convention: convention != first)
    return tuple(_table(c, own) for c in order if (own := [x for x in lines if x.convention == c]))


def beside(board: Board, lines: Iterable[Line]) -> Beside | None:
    """Return what is published for a board's dataset and scenario, its own convention first, or None."""
    found = published_lines(board, lines)
    if not found:
        return None
    first = board.first
    own: Convention = "with" if first.background else "without"
    views = [(s, tables([x for x in found if x.first.setting == s], own)) for s in (first.setting, "unknown")]
    background = (
        "counts as a class of step 0" if first.background else "is no class: unlabelled pixels are ignored"
    )
    return Beside(
        slug(found[0].first.dataset, found[0].first.dataset),
        f"{first.model}, {first.pretrained}, {first.image_size} pixels, batch {first.batch_size}; "
        f"background {background}",
        tuple(Group(first.scenario, setting, view, ()) for setting, view in views if view),
        any(x.first.setting == first.setting and x.convention == own for x in found),
    )


def _table(convention: Convention, lines: Sequence[Line]) -> TableView:
    ranges = tuple(sorted({name for line in lines for name in line.values}, key=_range))
    ordered = sorted(lines, key=lambda line: (line.first.year, line.first.paper_title, line.first.method))
    views = tuple(
        LineView(line, tuple(_printed(line.values.get(name)) for name in ranges), _arxiv(line.first.source))
        for line in ordered
    )
    return TableView(convention, *SAYS[convention], ranges, views)


def _range(classes: str) -> tuple[int, int]:
    found = span(classes)
    return (found.first, found.last) if found else (10_000, 0)


def _printed(value: float | None) -> str:
    """Print a value with one digit after the point, or two where the source had two."""
    if value is None:
        return ""
    return number(value, 1 if round(value, 1) == value else 2)


def _arxiv(source: str) -> str:
    found = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", source, re.ASCII)
    return found[1] if found else ""


def strip(spread: Spread) -> Strip:
    """Return a cell's values for drawing, left to right."""
    ordered = sorted(spread.printed, key=lambda printed: printed.value)
    values = ", ".join(_printed(printed.value) for printed in ordered)
    dots = tuple(
        Dot(
            f"{2 * printed.value:g}",
            printed.convention.replace(" ", "-"),
            f"{_printed(printed.value)}: {printed.line.first.source}",
        )
        for printed in ordered
    )
    text = f"printed: {values}"
    return Strip(spread, text, number(spread.points, 1), f"{2 * spread.low:g}", f"{2 * spread.high:g}", dots)


def _row(spread: Spread) -> dict[str, Any]:
    return {
        "method": spread.method,
        "network": spread.network,
        "dataset": spread.dataset,
        "scenario": spread.scenario,
        "setting": spread.setting,
        "classes": spread.classes,
        "low_percent": spread.low,
        "high_percent": spread.high,
        "spread_points": spread.points,
        "printed": len(spread.printed),
        "distinct": spread.distinct,
        "sources": "; ".join(spread.sources),
    }
