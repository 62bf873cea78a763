"""The figure of a comparison: the difference of each class, sorted, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.axes import GRID, INK, MUTED, PAPER
from reports.compare import Comparison
from reports.comparetext import by_size
from reports.draw import Drawing, drawing, settle
from reports.specs import shown

FIRST, SECOND = "#0072b2", "#d55e00"
"""Okabe and Ito's blue and vermilion; the marker points to the better side, so that grey tells it too."""
_ROW, _MARGIN, _WIDTH = 0.19, 1.25, 5.6


class Bar(NamedTuple):
    """A class: difference of IoU in points, its interval where it is known, the step it was learnt in."""

    label: str
    value: float
    low: float | None
    high: float | None
    step: int

    @property
    def shows(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Differences:
    """IoU of ``first`` minus ``second`` by class, the largest difference first."""

    first: str
    second: str
    bars: tuple[Bar, ...]


def differences(comparison: Comparison) -> Differences | None:
    """Return what the figure of a comparison shows; None where no class has a difference."""
    bars = tuple(
        Bar(
            shown(line.difference.label, 24),
            line.difference.value,
            line.difference.interval.low if line.difference.interval else None,
            line.difference.interval.high if line.difference.interval else None,
            line.step,
        )
        for line in by_size(comparison)
        if line.difference.value is not None
    )
    a, b = comparison.match.a, comparison.match.b
    return Differences(shown(a.name), shown(b.name), bars) if bars else None


def draw_differences(spec: Differences) -> Drawing:
    """Draw the differences: the same bytes for the same spec."""
    return drawing(lambda: _figure(spec))


def _figure(spec: Differences) -> Figure:
    figure = Figure(figsize=(_WIDTH, _MARGIN + _ROW * len(spec.bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for place, bar in enumerate(spec.bars):
        _bar(axes, place, bar)
    _frame(axes, spec)
    settle(figure)
    return figure


def _bar(axes: Axes, place: int, bar: Bar) -> None:
    colour, marker = (FIRST, ">") if bar.value > 0 else (SECOND, "<")
    colour = colour if bar.shows else MUTED
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [place, place], color=colour, linewidth=1.3, zorder=2)
    axes.plot(
        [bar.value], [place], marker if bar.shows else "o", color=colour, markersize=6.5 if bar.shows else 5,
        markerfacecolor=colour if bar.shows else PAPER, zorder=3,
    )  # fmt: skip


def _frame(axes: Axes, spec: Differences) -> None:
    names = [f"{bar.label} (step {bar.step})" if bar.step else bar.label for bar in spec.bars]
    axes.set_yticks(range(len(spec.bars)), names, color=INK)
    axes.set_ylim(len(spec.bars) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6, axis="x")
    axes.set_axisbelow(True)
    covers = " Open: the interval covers zero." if any(bar.low is not None for bar in spec.bars) else ""
    axes.set_xlabel(f"difference of IoU (points).{covers}")
    axes.text(0, 1.01, f"\u2190 {spec.second} is better", transform=axes.transAxes, va="bottom")
    axes.text(1, 1.01, f"{spec.first} is better \u2192", transform=axes.transAxes, va="bottom", ha="right")
