"""Runs that differ in chance and machine alone: what a row of a board is made of, and a page of its own."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from benchmark.record import Record
from reports.load import order
from reports.runs import Run

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Variant:
    """All runs of a variant and source on one protocol, split and model, by seed. There is one at least."""

    runs: tuple[Run, ...]

    @property
    def page(self) -> str:
        """Its page in the site, without ending."""
        return self.runs[0].page

    @property
    def on_board(self) -> bool:
        """Whether it is a row of a board: its page lies beside that of the board then."""
        return self.page.startswith("boards/")

    @property
    def first(self) -> Record:
        """The record of its first run: what all have the same is in each."""
        return self.runs[0].record

    @property
    def many(self) -> bool:
        """Whether there is more than one run."""
        return len(self.runs) > 1

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """Its finished runs, the newest of each seed: those that a mean is over."""
        return tuple(newest_of_each_seed(self.runs, lambda run: run))

    @cached_property
    def telling(self) -> tuple[Run, ...]:
        """The runs whose mean is shown: those counted, or where none finished those that got furthest."""
        furthest = max(len(run.record.steps) for run in self.runs)
        return self.counted or tuple(run for run in self.runs if 0 < len(run.record.steps) == furthest)

    @cached_property
    def labels(self) -> dict[str, str]:
        """What tells each run from the others, by its slug: its seed, and its hardware where seeds repeat."""
        seeds = Counter(run.record.seed for run in self.runs)
        return {run.slug: _label(run, seeds[run.record.seed] > 1) for run in self.runs}


def _label(run: Run, repeated: bool) -> str:
    return f"seed {run.record.seed}, {run.hardware}" if repeated else f"seed {run.record.seed}"


def variants_of(runs: Iterable[Run]) -> list[Variant]:
    """Group runs by the page they share, in the order in which the first of each comes."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.page].append(run)
    return [Variant(tuple(sorted(group, key=_seed))) for group in groups.values()]


def _seed(run: Run) -> tuple[int, str]:
    return run.record.seed, run.path


def newest_of_each_seed(entries: Iterable[Entry], run_of: Callable[[Entry], Run]) -> Sequence[Entry]:
    """Return the entries whose run finished, of each seed the one that did so last, in the order of seeds."""
    latest: dict[int, Entry] = {}
    for entry in entries:
        run = run_of(entry)
        if run.ok:
            other = latest.setdefault(run.record.seed, entry)
            if other is not entry and order(run) > order(run_of(other)):
                latest[run.record.seed] = entry
    return [latest[seed] for seed in sorted(latest)]


def whole_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of values; None where one is unknown: a mean over the others would be of other runs."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return known[0] if known.count(known[0]) == len(known) else math.fsum(known) / len(known)


def spread(values: Sequence[float | None]) -> float | None:
    """Return the sample standard deviation of values; None for fewer than two, or where one is unknown."""
    middle = whole_mean(values)
    if middle is None or len(values) < 2:
        return None
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values if v is not None) / (len(values) - 1))
