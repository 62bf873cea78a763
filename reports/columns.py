"""The columns of every table: what a number is, its unit, which direction is better, how it is printed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal[
    "percent", "points", "decibel", "millions", "operations", "bytes", "seconds", "joules", "ratio"
]


class Group(NamedTuple):
    """Columns that are shown and hidden together."""

    key: str
    title: str
    shown: bool


class Unit(NamedTuple):
    """How a column is printed: values are divided by ``factor``."""

    name: str
    factor: float


@dataclass(frozen=True)
class Column:
    """One measure, and ``how`` it is got: scored on the test set, counted, measured, or computed of others.

    ``unknown`` is said where it is None; ``hardware``: comparable on one machine only.
    """

    key: str
    label: str
    group: str
    kind: Kind
    better: Literal["higher", "lower"]
    how: Literal["scored", "computed", "counted", "measured"]
    help: str
    unknown: str = "not recorded"
    hardware: bool = False
    name: str = ""

    @property
    def full_name(self) -> str:
        """What it is called away from its group's heading."""
        return self.name or self.label


_DECLARED = tomllib.loads((Path(__file__).parent / "columns.toml").read_text(encoding="utf-8"))
GROUPS = tuple(Group(**entry) for entry in _DECLARED["group"])
COLUMNS = tuple(Column(**entry) for entry in _DECLARED["column"])
BY_KEY = {column.key: column for column in COLUMNS}
_SCALES: dict[Kind, tuple[Unit, ...]] = {
    "percent": (Unit("%", 1),),
    "points": (Unit("points", 1),),
    "decibel": (Unit("dB", 1),),
    "millions": (Unit("M", 1e6),),
    "operations": (Unit("M", 1e6), Unit("G", 1e9), Unit("T", 1e12)),
    "bytes": (Unit("B", 1), Unit("KiB", 2**10), Unit("MiB", 2**20), Unit("GiB", 2**30)),
    "seconds": (Unit("ms", 1e-3), Unit("s", 1)),
    "joules": (Unit("J", 1),),
    "ratio": (Unit("×", 1),),
}
_DECIMALS: dict[Kind, int] = {"percent": 1, "points": 1, "decibel": 2, "ratio": 2}
REMEMBERED = 2**14
"""Numbers that are kept as they were printed."""


def unit(column: Column, values: Iterable[float | None]) -> Unit:
    """Return one unit for all ``values``: the largest in which the smallest (0 apart) is 1 or more."""
    return scale_of(column.kind, values)


def scale_of(kind: Kind, values: Iterable[float | None]) -> Unit:
    """Return the unit of :func:`unit` for a kind of number."""
    scales = _SCALES[kind]
    sizes = [abs(value) for value in values if value]
    fitting = [scale for scale in scales if sizes and min(sizes) >= scale.factor]
    return fitting[-1] if fitting else scales[0]


def text(column: Column, value: float | None, scale: Unit) -> str:
    """Print a value with the digits its kind deserves; an en dash for None."""
    if value is None or not math.isfinite(value):
        return "–"
    return number(value / scale.factor, _decimals(column, value, scale))


def spread_text(column: Column, mean: float | None, std: float | None, scale: Unit) -> str:
    """Print a spread with the digits of its mean; empty where there is none."""
    if mean is None or not std:
        return ""
    return number(std / scale.factor, _decimals(column, mean, scale))


def _decimals(column: Column, value: float, scale: Unit) -> int:
    fixed = None if column.key == "trainable_percent" else _DECIMALS.get(column.kind)
    return significant(value / scale.factor) if fixed is None else fixed


def significant(value: float) -> int:
    """Return how many digits after the point leave three significant ones."""
    return 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))


@lru_cache(maxsize=REMEMBERED)  # counts and memory are those of many runs
def number(value: float, decimals: int | None = None) -> str:
    """Print ``value`` with ``decimals`` digits after the point, or three significant ones."""
    decimals = significant(value) if decimals is None else decimals
    if abs(value) >= 1e15 or (decimals > 6 and value):
        return f"{value:.2e}"
    shown = f"{value:,.{decimals}f}".replace(",", "\u202f")
    if not shown.startswith("-"):
        return shown
    return f"\u2212{shown[1:]}" if any(c in "123456789" for c in shown) else shown[1:]
