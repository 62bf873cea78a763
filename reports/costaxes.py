"""Bars of costs by part, told apart by colour and, on a black-and-white printer, by hatching."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.specs import BarPanel, Bars

# Okabe and Ito's colours; the page of a run has the same, in the same order.
TONES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a838c")
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oo")
Floats = NDArray[np.float64]
_GRID, _PAPER = "#d9dee2", "#ffffff"


def bars_height(spec: Bars, rows: int = 1) -> float:
    """Return the inches that the bars of ``spec`` need in ``rows`` lines of panels."""
    return rows * (0.22 * len(spec.panels[0].rows) + 1.15)


def draw_bars(figure: Figure, spec: Bars, rows: int = 1) -> None:
    """Draw every panel beside the others, or in ``rows``; the names of the rows stand once a line."""
    across = -(-len(spec.panels) // rows)
    grid = figure.subplots(rows, across, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, spec.panels, strict=False):
        _panel(axes, panel)


def _panel(axes: Axes, panel: BarPanel) -> None:
    places = np.arange(len(panel.rows), dtype=float)
    values = np.array([row.values for row in panel.rows], dtype=float)
    if panel.stacked:
        _stacked(axes, panel, places, values)
    else:
        _beside(axes, panel, places, values)
    axes.set_yticks(places, [row.label for row in panel.rows])
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    axes.set_title(panel.title, loc="left", fontweight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=_GRID, linewidth=0.6, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.28 / max(1, 0.22 * len(panel.rows))), ncols=3, frameon=False,
        fontsize="small", columnspacing=1.0, handlelength=1.2, handletextpad=0.4,
    )  # fmt: skip


def _stacked(axes: Axes, panel: BarPanel, places: Floats, values: Floats) -> None:
    left = np.zeros(len(places))
    for index, (part, tone) in enumerate(zip(panel.parts, panel.tones, strict=True)):
        axes.barh(
            places, values[:, index], 0.66, left, label=part, color=TONES[tone], hatch=_HATCHES[tone],
            edgecolor=_PAPER, linewidth=0.4,
        )  # fmt: skip
        left = left + values[:, index]


def _beside(axes: Axes, panel: BarPanel, places: Floats, values: Floats) -> None:
    height = 0.78 / len(panel.parts)
    for index, (part, tone) in enumerate(zip(panel.parts, panel.tones, strict=True)):
        middle = places + (index - (len(panel.parts) - 1) / 2) * height
        axes.barh(middle, values[:, index], height, label=part, color=TONES[tone])
