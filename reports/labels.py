"""Names beside points, so that they cover neither a point nor each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib import patheffects
from matplotlib.axes import Axes

SIZE = 8.0
POINTS_PER_INCH = 72


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


class Anchor(NamedTuple):
    """Where a label stands against its point, in points."""

    dx: float
    dy: float
    align: str


ANCHORS = tuple(
    Anchor(dx, dy, align)
    for reach in (7, 13, 21)
    for dx, dy, align in (
        (reach * 0.8, reach * 0.9, "left"),
        (reach, 0, "left"),
        (reach * 0.8, -reach * 0.9, "left"),
        (-reach, 0, "right"),
        (-reach * 0.8, reach * 0.9, "right"),
        (-reach * 0.8, -reach * 0.9, "right"),
        (0, reach + 3, "center"),
        (0, -reach - 3, "center"),
    )
)


def place_labels(
    axes: Axes, points: Iterable[tuple[float, float]], labels: Sequence[tuple[float, float, str]]
) -> None:
    """Write each label where it covers least; the first place that covers nothing is taken.

    The figure's layout must be settled: places are found on the page.

    ``points``: all that must stay visible, (x, y) in data. ``labels``: (x, y, text).
    """
    scale = POINTS_PER_INCH / axes.figure.get_dpi()
    frame = axes.get_window_extent()
    limits = Box(frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    taken = [_around(*(axes.transData.transform(point) * scale)) for point in points]
    for x, y, text in labels:
        centre = axes.transData.transform((x, y)) * scale
        boxes = [(_box(centre[0], centre[1], text, anchor), anchor) for anchor in ANCHORS]
        box, anchor = min(boxes, key=lambda entry: _cost(entry[0], taken, limits))
        taken.append(box)
        label = axes.annotate(
            text, (x, y), (anchor.dx, anchor.dy), textcoords="offset points", ha=anchor.align, va="center",
            fontsize=SIZE, zorder=5,
        )  # fmt: skip
        label.set_path_effects([patheffects.withStroke(linewidth=2.2, foreground="#ffffff")])


def _around(x: float, y: float) -> Box:
    return Box(x - 4.5, y - 4.5, x + 4.5, y + 4.5)


def _box(x: float, y: float, text: str, anchor: Anchor) -> Box:
    width, half = 0.58 * SIZE * len(text), 0.6 * SIZE
    left = {"left": 0.0, "right": -width, "center": -width / 2}[anchor.align] + x + anchor.dx
    return Box(left, y + anchor.dy - half, left + width, y + anchor.dy + half)


def _cost(box: Box, taken: Iterable[Box], limits: Box) -> float:
    area = (box.right - box.left) * (box.top - box.bottom)
    return sum(box.overlap(other) for other in taken) + 3 * (area - box.overlap(limits))
