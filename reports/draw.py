"""Specs to SVG and PNG with matplotlib: the same bytes for the same spec."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.axes import GRID, INK, MUTED, PAPER, draw_courses, draw_heat, draw_scatter, legend, name_points
from reports.costaxes import bars_height, draw_bars
from reports.specs import Bars, Courses, Heat, Scatter, Spec

# Text is drawn as outlines: the same on every machine. parse_math: names with dollars are names.
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "cssbench",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.markersize": 7.5,
}
DARK = {
    INK: "#e6e9ec",
    MUTED: "#9aa5af",
    GRID: "#333c45",
    PAPER: "#171c22",
    "#000000": "#e6e9ec",
    "#0072b2": "#3b9ad9",
    "#8c564b": "#c08a7d",
}
"""What becomes of colours where the reader's system is dark: paper and ink swap, dark data is lifted."""
PNG_DPI = 160


class Drawing(NamedTuple):
    """One figure in both formats."""

    svg: bytes
    png: bytes


def draw(spec: Spec) -> Drawing:
    """Draw a figure."""
    return drawing(lambda: _figure(spec))


def drawing(build: Callable[[], Figure]) -> Drawing:
    """Draw what ``build`` lays out, in the style of all figures."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn: names are free text
        figure = build()
        FigureCanvasAgg(figure)
        return Drawing(_svg(figure), _png(figure))


def _figure(spec: Spec) -> Figure:
    if isinstance(spec, Scatter):
        figure = _scatter(spec)
    elif isinstance(spec, Courses):
        figure = Figure(figsize=(8.8 if len(spec.panels) < 4 else 11, 3.4), layout="constrained")
        draw_courses(figure, spec)
        legend(figure)
        settle(figure)
    elif isinstance(spec, Bars):
        figure = _bars(spec)
        settle(figure)
    else:
        figure = _heat(spec)
        settle(figure)
    return figure


def settle(figure: Figure) -> None:
    """Lay out once: saving would do it again for each format."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _scatter(spec: Scatter) -> Figure:
    figure = Figure(figsize=(6.4, 4.6) if spec.contours else (5.2, 3.7), layout="constrained")
    axes = figure.subplots()
    draw_scatter(axes, spec)
    settle(figure)
    name_points(axes, spec)
    return figure


def _bars(spec: Bars) -> Figure:
    figure = Figure(figsize=(2.2 + 2.9 * len(spec.panels), bars_height(spec)), layout="constrained")
    draw_bars(figure, spec)
    return figure


def _heat(spec: Heat) -> Figure:
    columns = min(len(spec.panels), 6)
    rows = -(-len(spec.panels) // columns)
    width = 1.5 + columns * max(1.1, 0.34 * len(spec.ticks) + 0.25)
    height = rows * (0.6 + max(0.11, 0.2 - 0.0006 * len(spec.classes)) * len(spec.classes)) + 0.5
    figure = Figure(figsize=(min(width, 16), height), layout="constrained")
    draw_heat(figure, spec, rows, columns)
    return figure


def _svg(figure: Figure) -> bytes:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<!DOCTYPE[^>]*>\s*", "", buffer.getvalue())
    return re.sub(r"(<svg [^>]*>)", lambda m: m.group() + _dark(), text, count=1).encode()


def _dark() -> str:
    rules = "".join(
        f'[style*="{name}: {light}"]{{{name}:{dark}!important}}'
        for light, dark in DARK.items()
        for name in ("fill", "stroke")
    )
    return f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
