"""Figures for papers: the site's drawings at the width of one or two columns, in vectors, with real text."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.axes import NOTE, draw_courses, draw_heat, draw_scatter, legend, name_points, named_points
from reports.costaxes import bars_height, draw_bars
from reports.draw import STYLE, settle
from reports.specs import Bars, Courses, Heat, Scatter, Spec

Columns = Literal[1, 2]
Format = Literal["pdf", "svg", "png"]
WIDTHS: dict[Columns, float] = {1: 3.3, 2: 6.9}
"""Inches. A column, and the text of a page, of the two-column conferences."""
PNG_DPI = 300
# Type 42: text in a PDF is text, which conferences ask for. STIX is Times, with DejaVu for what it lacks.
STYLE_OF_PAPERS: dict[Any, Any] = {
    **STYLE,
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.markersize": 5.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Panels:
    """Several scatter plots of the same rows, with one legend."""

    scatters: tuple[Scatter, ...]


PaperSpec: TypeAlias = Spec | Panels


class About(NamedTuple):
    """What a file says about itself: a title, and where its numbers come from."""

    title: str
    source: str


def render(spec: PaperSpec, columns: Columns, kind: Format, about: About) -> bytes:
    """Draw a figure at the width of ``columns`` of a paper: the same bytes for the same spec."""
    with mpl.rc_context(STYLE_OF_PAPERS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn: names are free text
        figure = lay_out(spec, columns)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=_metadata(kind, about))
        return buffer.getvalue()


def _metadata(kind: Format, about: About) -> dict[str, str | None]:
    if kind == "pdf":
        return {"Title": about.title, "Subject": about.source, "CreationDate": None, "Creator": None}
    undated: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    return {**undated, "Title": about.title, "Description": about.source}


def lay_out(spec: PaperSpec, columns: Columns) -> Figure:
    """Return the figure of a spec, laid out and named."""
    if isinstance(spec, Scatter):
        return _scatter(spec, columns)
    if isinstance(spec, Panels):
        figure = _panels(spec, columns)
    elif isinstance(spec, Bars):
        figure = _figure(columns, bars_height(spec, rows=1 if columns == 2 else len(spec.panels)))
        draw_bars(figure, spec, rows=1 if columns == 2 else len(spec.panels))
    else:
        figure = _courses(spec, columns) if isinstance(spec, Courses) else _heat(spec, columns)
    FigureCanvasAgg(figure)
    settle(figure)
    return figure


def _figure(columns: Columns, height: float) -> Figure:
    return Figure(figsize=(WIDTHS[columns], height), layout="constrained")


def _scatter(spec: Scatter, columns: Columns) -> Figure:
    figure = _figure(columns, 2.6 if columns == 1 else 3.6)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw_scatter(axes, spec)
    _wrap(axes, 48 if columns == 1 else 110)
    settle(figure)
    name_points(axes, spec)
    return figure


def _wrap(axes: Axes, letters: int) -> None:
    axes.set_xlabel(textwrap.fill(axes.get_xlabel(), letters), linespacing=0.95)


def _panels(spec: Panels, columns: Columns) -> Figure:
    across = min(len(spec.scatters), 2 * columns)
    rows = -(-len(spec.scatters) // across)
    names = {point.label for scatter in spec.scatters for point in named_points(scatter)}
    beside, below = _legend(names, columns)
    figure = _figure(columns, 1.65 * rows + below)
    grid = figure.subplots(rows, across, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(spec.scatters):
            axes.set_visible(False)
            continue
        draw_scatter(axes, spec.scatters[index])
        _wrap(axes, 26)
        if index % across:
            axes.set_ylabel("")
        for note in [text for text in axes.texts if index and text.get_gid() == NOTE]:
            note.remove()  # said once is enough
    legend(figure, "outside lower center", beside)
    return figure


class Legend(NamedTuple):
    """How many names stand side by side, and the height of all in inches."""

    beside: int
    below: float


def _legend(names: Collection[str], columns: Columns) -> Legend:
    entry = 0.45 + 0.05 * max(map(len, names))
    beside = max(1, min(3 * columns, int(WIDTHS[columns] / entry)))
    return Legend(beside, 0.1 + 0.14 * -(-len(names) // beside))


def _courses(spec: Courses, columns: Columns) -> Figure:
    rows = len(spec.panels) if columns == 1 and len(spec.ticks) > 5 else 1
    if columns == 1 and not spec.shared:  # each panel has a scale of its own beside it
        rows = 2 if len(spec.panels) == 4 else len(spec.panels)
    names = [*(course.label for course in spec.panels[0].courses), "joint training"]
    beside, below = _legend(names, columns)
    figure = _figure(columns, 1.7 * rows + below)
    draw_courses(figure, spec, rows)
    legend(figure, "outside lower center", beside)
    return figure


def _heat(spec: Heat, columns: Columns) -> Figure:
    many = len(spec.ticks) > 5
    panel = 0.06 + (0.085 if many else 0.15) * len(spec.ticks)
    narrow = panel < 1.2
    room = WIDTHS[columns] - 1.1  # names of classes and the scale of colours
    across = max(1, min(len(spec.panels), int(room / panel)))
    rows = -(-len(spec.panels) // across)
    across = -(-len(spec.panels) // rows)  # as many in each row
    title = 0.052 * max(len(panel.label) for panel in spec.panels) + 0.1 if narrow else 0.15
    figure = _figure(columns, rows * (0.112 * len(spec.classes) + title + 0.25) + 0.1)
    ticks = tuple(tick if not many or t % 2 == 0 else "" for t, tick in enumerate(spec.ticks))
    draw_heat(figure, replace(spec, ticks=ticks), rows, across, narrow)
    return figure
