"""Names beside points, so that they cover neither a point nor each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.text import Annotation
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

SHARE = 8 / 9
"""Size of a name, in that of the figure's text."""
POINTS_PER_INCH = 72
# Ground rather than an outline: text with an outline is no text any more in a vector file.
GROUND = {"boxstyle": "square,pad=0.1", "facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.75}
DOUBT = 15.0
"""What a name costs that could be another point's, in square points that it might cover instead."""
LEADER = {"arrowstyle": "-", "color": "#5b6770", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
"""The line from a name to its point, where they stand apart."""


class Box(NamedTuple):
    """A rectangle in points, from the lower left corner of the figure."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def distance(self, x: float, y: float) -> float:
        """Return how far a point lies from the nearest edge; 0 inside."""
        return math.hypot(max(self.left - x, 0, x - self.right), max(self.bottom - y, 0, y - self.top))


class Anchor(NamedTuple):
    """Where a label stands against its point, in points. ``near``: seen to belong to it without a line."""

    dx: float
    dy: float
    align: str
    near: bool = True


class Place(NamedTuple):
    """Where a label would stand. ``doubtful``: about as near to another point as to its own."""

    anchor: Anchor
    box: Box
    doubtful: bool


def _around_a_point(reach: float) -> tuple[Anchor, ...]:
    beside = reach <= 13
    return (
        Anchor(reach * 0.8, reach * 0.9, "left", beside),
        Anchor(reach, 0, "left", beside),
        Anchor(reach * 0.8, -reach * 0.9, "left", beside),
        Anchor(-reach, 0, "right", beside),
        Anchor(-reach * 0.8, reach * 0.9, "right", beside),
        Anchor(-reach * 0.8, -reach * 0.9, "right", beside),
        Anchor(0, reach + 3, "center", beside),
        Anchor(0, -reach - 3, "center", beside),
    )


# Next to the point, then in a list on either side of it, for points that lie on top of each other.
_LISTED = tuple(Anchor(20 * s, 9.0 * k, "left" if s > 0 else "right", False)
                for k in (1, -1, 2, -2, 3, -3, 4, -4, 5, -5) for s in (1, -1))  # fmt: skip
ANCHORS = (*_around_a_point(7), *_around_a_point(13), *_LISTED, *_around_a_point(32), *_around_a_point(48))


def place_labels(
    axes: Axes,
    points: Iterable[tuple[float, float]],
    labels: Sequence[tuple[float, float, str]],
    notes: Iterable[Annotation] = (),
    lines: Iterable[tuple[float, float, float]] = (),
) -> None:
    """Write each label where it covers least; the first place that covers nothing is taken.

    The figure's layout must be settled: places are found on the page. From a label that stands apart from
    its point, or nearer to another one, a line leads to it.

    ``points``: all that must stay visible, (x, y) in data; so must ``notes`` and ``lines``, level ones from
    x to x at y. ``labels``: (x, y, text).
    """
    scale = POINTS_PER_INCH / axes.figure.get_dpi()
    size, family = SHARE * rcParams["font.size"], tuple(rcParams["font.family"])
    limits = _scaled(axes.get_window_extent(), scale)
    drawn = [axes.transData.transform(point) * scale for point in points]
    taken = [*(_around(x, y) for x, y in drawn), *(_scaled(n.get_window_extent(), scale) for n in notes)]
    for left, right, y in lines:
        start, end = (axes.transData.transform((x, y)) * scale for x in (left, right))
        taken.append(Box(start[0], start[1] - 1, end[0], end[1] + 1))
    for x, y, text in sorted(labels, key=lambda label: -label[1]):
        own = axes.transData.transform((x, y)) * scale
        width = _width(text, size, family)
        others = [other for other in drawn if abs(other - own).max() > 1]
        places = [
            _place(anchor, _box(own[0], own[1], width, size, anchor), own, others) for anchor in ANCHORS
        ]
        place = min(places, key=lambda place: _cost(place, taken, limits))
        taken.append(place.box)
        _write(axes, (x, y), text, place, size)


def _place(anchor: Anchor, box: Box, point: Any, others: Iterable[Any]) -> Place:
    own = box.distance(*point)
    return Place(anchor, box, any(box.distance(*other) < own + 2 for other in others))


def _write(axes: Axes, point: tuple[float, float], text: str, place: Place, size: float) -> None:
    dx, dy, align, near = place.anchor
    side = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
    axes.annotate(
        text, point, (dx, dy), textcoords="offset points", ha=align, va="center", fontsize=size, zorder=5,
        arrowprops=None if near and not place.doubtful else {**LEADER, "relpos": (side, 0.5)}, bbox=GROUND,
    )  # fmt: skip


def _around(x: float, y: float) -> Box:
    return Box(x - 4.5, y - 4.5, x + 4.5, y + 4.5)


def _scaled(extent: Bbox, scale: float) -> Box:
    return Box(extent.x0 * scale, extent.y0 * scale, extent.x1 * scale, extent.y1 * scale)


@lru_cache(maxsize=4096)
def _width(text: str, size: float, family: tuple[str, ...]) -> float:
    """Return how wide a name is in points, without a renderer."""
    font = FontProperties(family=list(family), size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _box(x: float, y: float, width: float, size: float, anchor: Anchor) -> Box:
    left = {"left": 0.0, "right": -width, "center": -width / 2}[anchor.align] + x + anchor.dx
    return Box(left, y + anchor.dy - 0.6 * size, left + width, y + anchor.dy + 0.6 * size)


def _cost(place: Place, taken: Iterable[Box], limits: Box) -> float:
    box = place.box
    area = (box.right - box.left) * (box.top - box.bottom)
    covered = sum(box.overlap(other) for other in taken) + 3 * (area - box.overlap(limits))
    return covered + (DOUBT if place.doubtful and place.anchor.near else 0)
