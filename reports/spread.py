"""How far printed values of one cell lie apart: method, network, dataset, scenario, setting, class range."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from reports.published import Convention, Line


class Printed(NamedTuple):
    """One printed value in percent, and where."""

    value: float
    convention: Convention
    line: Line


@dataclass(frozen=True)
class Spread:
    """All printed values of one cell, in the order of the file. There are two sources or more."""

    method: str
    network: str
    dataset: str
    scenario: str
    setting: str
    classes: str
    printed: tuple[Printed, ...]

    @property
    def low(self) -> float:
        """The least of them."""
        return min(printed.value for printed in self.printed)

    @property
    def high(self) -> float:
        """The largest of them."""
        return max(printed.value for printed in self.printed)

    @property
    def points(self) -> float:
        """How far they lie apart, in points."""
        return round(self.high - self.low, 4)

    @property
    def distinct(self) -> int:
        """How many different values."""
        return len({printed.value for printed in self.printed})

    @property
    def sources(self) -> tuple[str, ...]:
        """The documents, each once."""
        return tuple(dict.fromkeys(printed.line.first.source for printed in self.printed))


def spreads(lines: Iterable[Line]) -> tuple[Spread, ...]:
    """Return every cell that two documents or more print, whether they agree or not; in the file's order.

    ``all`` is one cell whatever the convention: that its values mean different things is what is shown.
    """
    cells: dict[tuple[str, str, str, str, str, str], list[Printed]] = defaultdict(list)
    for line in lines:
        first = line.first
        for classes, value in line.values.items():
            place = (first.dataset, first.scenario, first.setting)
            key = (first.method, network(first.backbone), *place, classes)
            cells[key].append(Printed(value, line.convention, line))
    found = (Spread(*key, tuple(printed)) for key, printed in cells.items())
    return tuple(spread for spread in found if len(spread.sources) > 1)


def network(backbone: str) -> str:
    """Return a backbone without what stands in brackets after it; ``not stated`` where it is not named."""
    name = re.sub(r"\s*\([^)]*\)", "", backbone).strip()
    return name if name and not name.startswith("not stated") else "not stated"
