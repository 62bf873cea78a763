"""Small charts of the loss terms: all runs of a variant in one, the steps end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from benchmark.record import StepRecord
from reports.columns import number


class LossChart(NamedTuple):
    """One term: points of polylines in a box 100 wide and 30 high, its range, where steps meet."""

    name: str
    lines: tuple[str, ...]
    low: str
    high: str
    edges: tuple[str, ...]


def loss_charts(runs: Sequence[Sequence[StepRecord]]) -> tuple[LossChart, ...]:
    """Return a chart for each loss term of runs with these steps; a gap where a value is unknown."""
    names = dict.fromkeys(name for steps in runs for step in steps for name in step.losses)
    longest = max(map(len, runs), default=0)
    return tuple(
        _chart(name, [[step.losses.get(name, ()) for step in steps] for steps in runs], longest)
        for name in names
    )


def _chart(name: str, runs: Sequence[Sequence[Sequence[float | None]]], steps: int) -> LossChart:
    values = chain.from_iterable(chain.from_iterable(runs))
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span = (high - low) or 1.0
    width = 100 / max(steps, 1)
    lines = [line for run in runs for t, step in enumerate(run) for line in _lines(step, t, width, low, span)]
    edges = tuple(f"{t * width:.2f}" for t in range(1, steps))
    return LossChart(name, tuple(lines), number(low), number(high), edges)


def _lines(step: Sequence[float | None], t: int, width: float, low: float, span: float) -> Iterator[str]:
    points: list[str] = []
    for i, value in enumerate([*step, None]):
        if value is not None:
            x = (t + (i + 0.5) / len(step)) * width
            points.append(f"{x:.2f},{28 - 26 * (value / span - low / span):.2f}")
        elif points:
            yield " ".join(points if len(points) > 1 else points * 2)  # two: a lone point is seen
            points = []
