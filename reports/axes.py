"""The plots themselves: one function fills one set of axes (or a figure's) from a spec."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.labels import GROUND, place_labels
from reports.specs import CoursePanel, Courses, Heat, Point, Scatter

Place = Literal["outside right upper", "outside lower center"]
INK, MUTED, GRID, PAPER = "#1b2733", "#5b6770", "#d9dee2", "#ffffff"
LABELLED = 14
"""Points named in a plot: all up to this many, then those on the front alone."""
NOTE = "note"
DECADES_FOR_LOG = 0.6
COLOUR_MAP = "viridis"
"""Safe for colour-blind readers; monotone in lightness, so it survives grey paper."""


def draw_scatter(axes: Axes, spec: Scatter) -> None:
    """Draw accuracy against cost: points with spread, the Pareto front, joint training as a line."""
    _limits(axes, spec)
    if spec.contours:
        _contours(axes)
    if spec.bound is not None:
        axes.axhline(spec.bound, color=INK, linewidth=0.9, linestyle=(0, (6, 3)), zorder=1)
        _note(axes, "joint training", spec.bound)
    _front(axes, [point for point in spec.points if point.front])
    named = named_points(spec)
    _crowd(axes, [point for point in spec.points if point not in named])
    for point in named:
        _point(axes, point)
    axes.set_xlabel(spec.x_label)
    axes.set_ylabel(spec.y_label)


def name_points(axes: Axes, spec: Scatter) -> None:
    """Write names beside the points of a drawn scatter plot, once the figure's layout is settled."""
    notes = [text for text in axes.texts if isinstance(text, Annotation) and text.get_gid() == NOTE]
    named = [(p.x, p.y, p.label) for p in named_points(spec)[:40]]
    place_labels(axes, [(p.x, p.y) for p in spec.points], named, notes, _lines(axes, spec))


def _lines(axes: Axes, spec: Scatter) -> Iterator[tuple[float, float, float]]:
    """Yield the level lines of a drawn scatter plot: joint training's and the steps of the front."""
    left, right = axes.get_xlim()
    if spec.bound is not None:
        yield left, right, spec.bound
    ordered = sorted(point[2:4] for point in spec.points if point.front)
    for (x, y), after in zip_longest(ordered, ordered[1:]):
        yield x, after[0] if after else right, y


def named_points(spec: Scatter) -> Sequence[Point]:
    """Return the points that are named: all, or those on the front where there are many."""
    return spec.points if len(spec.points) <= LABELLED else [p for p in spec.points if p.front]


def _crowd(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the points of a long board that are not on its front: small, without spread, a call a style."""
    for colour, marker in sorted({point.style for point in points}):
        same = [point for point in points if point.style == (colour, marker)]
        xs, ys = [point.x for point in same], [point.y for point in same]
        axes.plot(xs, ys, marker, color=colour, markersize=4, alpha=0.6, markeredgewidth=0, zorder=3)


def _limits(axes: Axes, spec: Scatter) -> None:
    xs = [point.x for point in spec.points]
    low, high = min(xs), max(xs)
    axes.set_ylim(*_heights(spec))
    if low > 0 and (spec.contours or math.log10(high / low) > DECADES_FOR_LOG):
        axes.set_xscale("log")
        pad = max(0.12 * math.log10(high / low), 0.3)
        axes.set_xlim(low / 10**pad, high * 10 ** (1.8 * pad))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,)))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\u202f"))
        )
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        pad = 0.15 * (high - low) or 0.25 * abs(high) or 1
        axes.set_xlim(low - pad, high + 2 * pad)
    axes.grid(color=GRID, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)


def _heights(spec: Scatter) -> tuple[float, float]:
    """Return the range of y: from 0, which is always in it, with room for names on the other side."""
    spreads = [(point.y, point.y_spread or 0) for point in spec.points]
    top = max([y + spread for y, spread in spreads] + [spec.bound or 0, 0])
    bottom = min([y - spread for y, spread in spreads if y < 0] + [0])
    return 1.12 * bottom, max(1.0 if bottom == 0 else 0.12 * -bottom, 1.12 * top)


def _contours(axes: Axes) -> None:
    """Draw lines of equal NetScore: 40 log10(a) - 10 log10(pm), every 10 dB."""
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    x = np.geomspace(left, right, 60)
    highest = 40 * math.log10(top) - 10 * math.log10(left)
    for score in range(int(highest // 10) * 10, int(highest) - 90, -10):
        edge = min(right, 10 ** ((40 * math.log10(top) - score) / 10))
        height = 10 ** ((score + 10 * math.log10(edge)) / 40)
        if height < 0.06 * top:
            return
        y = 10 ** ((score + 10 * np.log10(x)) / 40)
        axes.plot(x, y, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2.5)), zorder=1)
        if edge > left * 1.5:
            _contour_label(axes, f"{score} dB".replace("-", "\u2212"), edge, height, at_top=edge < right)


def _contour_label(axes: Axes, text: str, x: float, y: float, at_top: bool) -> None:
    offset, align = ((0, 3), ("center", "bottom")) if at_top else ((3, 0), ("left", "center"))
    label = axes.annotate(
        text,
        (x, y),
        offset,
        textcoords="offset points",
        ha=align[0],
        va=align[1],
        fontsize="small",
        color=MUTED,
    )
    label.set_annotation_clip(False)


def _note(axes: Axes, text: str, y: float) -> None:
    axes.annotate(
        text, (0, y), (4, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
        fontsize="small", gid=NOTE, bbox=GROUND,
    )  # fmt: skip


def _front(axes: Axes, points: Sequence[Point]) -> None:
    ordered = sorted(points, key=lambda point: (point.x, point.y))
    xs, ys = [point.x for point in ordered], [point.y for point in ordered]
    if xs:
        axes.step(
            [*xs, axes.get_xlim()[1]],
            [*ys, ys[-1]],
            where="post",
            color=INK,
            linewidth=1,
            alpha=0.55,
            zorder=2,
        )


def _point(axes: Axes, point: Point) -> None:
    colour = point.style.colour
    if point.x_spread is not None or point.y_spread is not None:
        axes.errorbar(
            point.x, point.y, yerr=point.y_spread, xerr=point.x_spread, color=colour, linewidth=1, zorder=3
        )
    axes.plot(
        [point.x], [point.y], point.style.marker, color=colour, markeredgecolor=PAPER, markeredgewidth=0.8,
        zorder=4, label=point.label,
    )  # fmt: skip


def draw_courses(figure: Figure, spec: Courses, rows: int = 1) -> None:
    """Draw values over the steps, in one row of panels or in ``rows``."""
    grid = figure.subplots(rows, len(spec.panels) // rows, sharey=spec.shared, squeeze=False)
    for axes, panel in zip(grid.flat, spec.panels, strict=True):
        _panel(axes, panel, spec.ticks)
        if not spec.shared:
            axes.set_ylim(top=1.05 * axes.get_ylim()[1])


def legend(figure: Figure, place: Place = "outside right upper", columns: int = 1) -> None:
    """Name all that the panels of a figure draw, each name once, outside of the panels."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(
            found.values(), found.keys(), loc=place, ncols=columns, frameon=False, fontsize="small",
            columnspacing=1.2, handletextpad=0.5,
        )  # fmt: skip


def _panel(axes: Axes, panel: CoursePanel, ticks: Sequence[str]) -> None:
    for course in panel.courses:
        known = [
            (t, v, s)
            for t, (v, s) in enumerate(zip(course.values, course.spread, strict=True))
            if v is not None
        ]
        steps, values, spreads = zip(*known, strict=True) if known else ((), (), ())
        colour, marker = course.style
        axes.plot(steps, values, marker, linestyle="-", color=colour, markersize=5, linewidth=1.4,
                  markeredgecolor=PAPER, markeredgewidth=0.5, label=course.label)  # fmt: skip
        if any(spreads):
            low = [v - (s or 0) for _, v, s in known]
            high = [v + (s or 0) for _, v, s in known]
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    if panel.bound is not None:
        axes.axhline(panel.bound, color=INK, linewidth=0.9, linestyle=(0, (6, 3)), label="joint training")
    _papers(axes, panel, len(ticks))
    axes.set_title(panel.title, loc="left", fontweight="bold")
    names = [*ticks, *(["papers"] if panel.papers else [])]
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("classes learnt")
    axes.grid(color=GRID, linewidth=0.6, axis="y")
    axes.set_axisbelow(True)


def _papers(axes: Axes, panel: CoursePanel, place: int) -> None:
    """Draw published values open, in a column of their own, spread sideways to tell close ones apart."""
    if not panel.papers:
        return
    axes.axvline(place - 0.5, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2.5)))
    ordered = sorted(panel.papers, key=lambda mark: (mark.value, mark.label))
    for index, mark in enumerate(ordered):
        x = place + 0.09 * (index % 5 - 2)
        axes.plot([x], [mark.value], mark.style.marker, color=mark.style.colour, markersize=5,
                  markerfacecolor=PAPER, markeredgewidth=1.1)  # fmt: skip


def draw_heat(figure: Figure, spec: Heat, rows: int, columns: int, turned: bool = False) -> None:
    """Draw IoU by class and step, a panel a row of the board, on one scale from 0 to 100 %.

    ``turned``: names of rows stand upright, for narrow panels.
    """
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(spec.panels):
            axes.set_visible(False)
            continue
        image = _heat_panel(axes, spec, index, first=index % columns == 0)
        if turned:
            axes.set_title(axes.get_title(), rotation=90, fontsize="small")
    bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.01, aspect=30, shrink=0.8)
    bar.outline.set_visible(False)
    bar.set_label("IoU (%)")


def _heat_panel(axes: Axes, spec: Heat, index: int, first: bool) -> QuadMesh:
    panel = spec.panels[index]
    values = np.array([[np.nan if v is None else v for v in row] for row in panel.values], dtype=float)
    image = axes.pcolormesh(values, vmin=0, vmax=100, cmap=COLOUR_MAP, edgecolors=PAPER, linewidth=0.4)
    axes.set_title(panel.label, fontsize="small")
    size = rcParams["font.size"] * 7 / 9
    axes.set_xticks(np.arange(len(spec.ticks)) + 0.5, spec.ticks, fontsize=size)
    if first:
        size = size if len(spec.classes) < 60 else size * 5 / 7
        axes.set_yticks(np.arange(len(spec.classes)) + 0.5, spec.classes, fontsize=size)
    else:
        axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    return image
