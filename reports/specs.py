"""What a figure shows, as plain data: drawn from it alone, and known again by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from benchmark.record import sha256_of


class Style(NamedTuple):
    """Colour and marker of a row, the same in all figures of a site."""

    colour: str
    marker: str


class Point(NamedTuple):
    """A row in a scatter plot: value and spread over seeds in both directions."""

    label: str
    style: Style
    x: float
    y: float
    x_spread: float | None
    y_spread: float | None
    front: bool


@dataclass(frozen=True)
class Scatter:
    """Accuracy in percent against one cost.

    ``bound``: joint training's accuracy. ``contours``: lines of equal NetScore, for which x is p times m.
    """

    x_label: str
    y_label: str
    points: tuple[Point, ...]
    bound: float | None
    contours: bool = False


class Course(NamedTuple):
    """One row's values after each step, and their spread over seeds."""

    label: str
    style: Style
    values: tuple[float | None, ...]
    spread: tuple[float | None, ...]


class PaperMark(NamedTuple):
    """A published value in percent, drawn open and apart; ``label`` only where a legend names it."""

    label: str
    style: Style
    value: float


class CoursePanel(NamedTuple):
    """One set of axes of a figure over the steps. ``bound``: joint training's value.

    ``papers``: published values after the last step.
    """

    title: str
    courses: tuple[Course, ...]
    bound: float | None
    papers: tuple[PaperMark, ...] = ()


@dataclass(frozen=True)
class Courses:
    """Values over the steps; ``ticks`` names them. ``shared``: the panels have one scale."""

    panels: tuple[CoursePanel, ...]
    ticks: tuple[str, ...]
    shared: bool = True


class HeatPanel(NamedTuple):
    """IoU in percent of one row: by class, then by step; None where not seen or not defined."""

    label: str
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Heat:
    """IoU by class and step, a panel a row."""

    classes: tuple[str, ...]
    ticks: tuple[str, ...]
    panels: tuple[HeatPanel, ...]


class BarRow(NamedTuple):
    """A row of the board and its value of each part."""

    label: str
    values: tuple[float, ...]


class BarPanel(NamedTuple):
    """Bars by row, of each part, side by side or ``stacked``. ``tones``: of the parts, in all panels."""

    title: str
    parts: tuple[str, ...]
    tones: tuple[int, ...]
    rows: tuple[BarRow, ...]
    stacked: bool


@dataclass(frozen=True)
class Bars:
    """Costs by part, a panel a cost, the same rows in all."""

    panels: tuple[BarPanel, ...]


Spec: TypeAlias = Scatter | Courses | Heat | Bars


def digest(spec: Spec) -> str:
    """Return the SHA-256 of all that ``spec`` shows."""
    return sha256_of(repr(spec).encode("utf-8", "backslashreplace"))


def shown(text: str, length: int = 36) -> str:
    """Return ``text`` fit for a figure: printable characters alone, cut to ``length``."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"
