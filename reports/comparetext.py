"""A comparison in words and as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from reports.bootstrap import DRAWS, LEVEL, Interval
from reports.columns import Column, Unit, number, text, unit
from reports.compare import ClassLine, Comparison, CostLine, Difference
from reports.specs import shown
from reports.tables import Cell

HEAD = ("difference", f"{LEVEL:.0%} interval", "")
RATIO = "first / second"
NO_DIFFERENCE = "no difference shown on these test images"
_WIDTH = 26


class Line(NamedTuple):
    """A line of a table: what it is of, its numbers, and last what they show."""

    cells: tuple[str, ...]


class Table(NamedTuple):
    """A table ready to be printed."""

    title: str
    head: tuple[str, ...]
    lines: tuple[Line, ...]


def render(comparisons: Sequence[Comparison]) -> str:
    """Return comparisons as text, one board after another; of several, first what each says of mIoU."""
    first = [_table(overview(comparisons))] if len(comparisons) > 1 else []
    return "\n\n\n".join([*first, *map(comparison_text, comparisons)])


def overview(comparisons: Sequence[Comparison]) -> Table:
    """Return final mIoU of all classes, a line a board."""
    a, b = names(comparisons[0])
    lines = [
        (shown(each.match.name, 60), *_cells(found, 1), verdict(found, *names(each)))
        for each in comparisons
        for found in [each.scores[0].difference]
    ]
    return Table("Final mIoU of all classes", ("board (%)", a, b, *HEAD), tuple(map(Line, lines)))


def comparison_text(comparison: Comparison) -> str:
    """Return one comparison: scores, classes by size of their difference, costs, and what to bear in mind."""
    match = comparison.match
    digest = match.board.first.protocol_digest[:12]
    a, b = names(comparison)
    title = f"{a} minus {b} on {shown(match.name, 80)}, protocol digest {digest}"
    said = [f"- {shown(sentence, 400)}" for sentence in notes(comparison)]
    return "\n\n".join([title, *map(_table, tables(comparison)), "\n".join(said)])


def names(comparison: Comparison) -> tuple[str, str]:
    """Return what the two sides are called in a heading."""
    return shown(comparison.match.a.name, _WIDTH), shown(comparison.match.b.name, _WIDTH)


def tables(comparison: Comparison) -> list[Table]:
    """Return scores, classes by size of their difference, and costs, as they are printed."""
    a, b = names(comparison)
    scores = tuple(_score(line.column, line.difference, a, b) for line in comparison.scores)
    classes = tuple(_class(line, a, b) for line in by_size(comparison))
    costs = tuple(map(_cost, comparison.costs))
    return [
        Table("Scores", ("", a, b, *HEAD), scores),
        Table("IoU by class", ("class (%)", a, b, *HEAD), classes),
        Table("Costs", ("", a, b, RATIO, ""), costs),
    ]


def by_size(comparison: Comparison) -> list[ClassLine]:
    """Return classes by their difference, the largest first, those without one last."""
    return sorted(comparison.classes, key=lambda line: _size(line.difference))


def _size(found: Difference) -> tuple[bool, float]:
    return found.value is None, -(found.value or 0.0)


def verdict(found: Difference, a: str, b: str) -> str:
    """Return what a difference shows, in words."""
    words = {"a": f"{a} is better", "b": f"{b} is better", "none": NO_DIFFERENCE, "unknown": found.reason}
    return words[found.verdict]


def notes(comparison: Comparison) -> list[str]:
    """Return what a reader must bear in mind."""
    a, b = comparison.match.a, comparison.match.b
    said = [f"{side.name}: {side.note}." for side in (a, b) if side.note]
    if comparison.unpaired:
        return [
            *said,
            f"No interval, so that nothing tells these differences from chance: {comparison.unpaired}.",
        ]
    said.append(
        f"Intervals: {DRAWS} resamplings of the test images{_and_seeds(comparison)}, the same for both."
    )
    single = [side.name for side in (a, b) if len(side.seeds) == 1]
    if single:
        who = "Both have" if len(single) == 2 else f"{single[0]} has"
        said.append(f"{who} a single seed: how much another one would change is not in the intervals.")
    else:
        said.append(
            "Resampling a few seeds understates how much seeds differ: intervals are rather too narrow."
        )
    if a.seeds != b.seeds:
        said.append(f"Seeds differ: {_listed(a.seeds)} against {_listed(b.seeds)}.")
    said.append(
        f"Each class has an interval of its own: one in {1 / (1 - LEVEL):.0f} of the classes that do not "
        "differ excludes zero by chance."
    )
    return said


def _and_seeds(comparison: Comparison) -> str:
    several = [len(side.seeds) > 1 for side in (comparison.match.a, comparison.match.b)]
    return " and of the seeds" if any(several) else ""


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _score(column: Column, found: Difference, a: str, b: str) -> Line:
    scale = unit(column, [found.a.mean, found.b.mean])
    decimals = 2 if column.kind == "decibel" else 1
    return Line((f"{found.label} ({scale.name})", *_cells(found, decimals), verdict(found, a, b)))


def _class(line: ClassLine, a: str, b: str) -> Line:
    found = line.difference
    learnt = f", step {line.step}" if line.step else ""
    said = "" if found.verdict == "none" else verdict(found, a, b)
    return Line((f"{shown(found.label, _WIDTH)}{learnt}", *_cells(found, 1), said))


def _cells(found: Difference, decimals: int) -> tuple[str, ...]:
    values = [_mean(cell, decimals) for cell in (found.a, found.b)]
    return (*values, signed(found.value, decimals), span(found.interval, decimals))


def _mean(cell: Cell, decimals: int) -> str:
    if cell.mean is None:
        return "–"
    spread = f" ± {number(cell.std, decimals)}" if cell.std is not None else ""
    return f"{number(cell.mean, decimals)}{spread}"


def signed(value: float | None, decimals: int) -> str:
    """Print a difference with its sign; an en dash for None."""
    if value is None:
        return "–"
    printed = number(value, decimals)
    return printed if printed.startswith("\u2212") or not printed.strip("0.") else f"+{printed}"


def span(interval: Interval | None, decimals: int) -> str:
    """Print an interval; an en dash for None. An end near zero gets the digits that tell its sign."""
    if interval is None:
        return "–"
    return " to ".join(signed(value, _digits(value, decimals)) for value in interval)


def _digits(value: float, decimals: int) -> int:
    telling = (digits for digits in range(decimals, decimals + 4) if abs(value) >= 0.5 * 10**-digits)
    return next(telling, decimals)


def _cost(line: CostLine) -> Line:
    scale = unit(line.column, [line.a, line.b])
    values = [text(line.column, value, scale) for value in (line.a, line.b)]
    return Line((f"{line.column.full_name}{_named(scale)}", *values, _ratio(line), line.reason))


def _named(scale: Unit) -> str:
    return "" if scale.name == "×" else f" ({scale.name})"


def _ratio(line: CostLine) -> str:
    return "–" if line.ratio is None else f"{number(line.ratio, 2)} ×"


def _table(table: Table) -> str:
    rows = [table.head, *(line.cells for line in table.lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    printed = ["  ".join(_padded(row, widths)).rstrip() for row in rows]
    rule = "─" * max(map(len, printed))
    return "\n".join([table.title, rule, printed[0], rule, *printed[1:]]).replace("\u202f", " ")


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.ljust(width) if i in (0, len(cells) - 1) else cell.rjust(width)
