"""Tables as the page shows them: printed numbers, units, links, what is best, and why a value is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from benchmark.metrics import BOARDS
from reports.boards import RANKING, Board, Row
from reports.columns import GROUPS, Column, Group, Unit, spread_text, text, unit
from reports.ranges import Range, printed_range
from reports.runs import slug
from reports.tables import Cell

RowKind = Literal["bound", "ranked", "failed"]
BARS = ("miou_all_percent", f"netscore_{RANKING}")
NETSCORES = {f"netscore_{board}": board for board in BOARDS}
"""NetScore's boards by the keys of their columns."""


class Header(NamedTuple):
    """A column with the unit its numbers are printed in."""

    column: Column
    unit: str


class CellView(NamedTuple):
    """One number. ``value`` is what sorting goes by; ``note`` is the title shown on hovering."""

    group: str
    text: str
    spread: str = ""
    value: str = ""
    note: str = ""
    place: int | None = None
    best: bool = False
    bar: int | None = None
    range: Range | None = None


class Badge(NamedTuple):
    """How many runs ended in a status."""

    status: str
    runs: int


@dataclass(frozen=True)
class RowView:
    """One row of a table: ``anchor`` is its id, ``href`` where its numbers come from."""

    kind: RowKind
    name: str
    note: str
    anchor: str
    href: str
    seeds: int
    badges: tuple[Badge, ...]
    cells: tuple[CellView, ...]
    error: str = ""
    rank: int | None = None
    range: Range | None = None
    single: bool = False


class Span(NamedTuple):
    """A group's heading over its columns."""

    group: Group
    columns: int


@dataclass(frozen=True)
class Table:
    """A table ready for the template."""

    caption: str
    headers: tuple[Header, ...]
    rows: tuple[RowView, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """Groups that have a column, in order."""
        counts = {group: sum(h.column.group == group.key for h in self.headers) for group in GROUPS}
        return tuple(Span(group, count) for group, count in counts.items() if count)


def row_id(row: Row, board: Board) -> str:
    """Return the anchor of a row, safe in an id and unlike any other of its page."""
    if row is board.joint:
        return "joint"
    return slug(row.variant[:30], row.method, row.variant, row.source_digest)


def board_table(board: Board, root: str) -> Table:
    """Return a board's rows, joint training first, those without a finished run last, for its own page."""
    rows = [*([board.joint] if board.joint else []), *board.rows]
    found = table(board, rows, board.columns, root)
    own = f"{root}boards/{board.slug}/"  # a row's link is at each of its numbers: the shortest there is
    near = tuple(replace(row, href=row.href.removeprefix(own)) for row in found.rows)
    return replace(found, rows=near)


def table(board: Board, rows: Sequence[Row], columns: Sequence[Column], root: str) -> Table:
    """Return rows of a board; ``root`` leads from the page to the site's top folder."""
    units = units_of(columns, [row.cells for row in rows])
    best = best_of(columns, [row.cells for row in board.rows])
    top = _tops(rows)
    views = [
        RowView(
            kind="bound" if row is board.joint else "ranked" if row.ok else "failed",
            name="joint training" if row is board.joint else row.variant,
            note=_note(row, board),
            anchor=row_id(row, board),
            href=f"{root}{row.runs[0].run.page}.html",
            seeds=len(row.counted),
            badges=tuple(Badge(status, count) for status, count in row.statuses.items()),
            cells=tuple(_cell(c, row, units, {} if row is board.joint else best, top) for c in columns),
            error=first_error(row),
            rank=row.ranks.get(RANKING),
            range=None if row is board.joint else printed_range(row, f"netscore_{RANKING}"),
            single=row.single,
        )
        for row in rows
    ]
    headers = tuple(Header(column, units[column.key].name) for column in columns)
    return Table(f"{board.first.protocol} on {board.first.model}", headers, tuple(views))


def _note(row: Row, board: Board) -> str:
    if row is board.joint:
        return "upper bound, not ranked"
    twins = [other for other in board.rows if other.variant == row.variant]
    return f"source {row.source_digest[:8]}" if len(twins) > 1 else ""


def first_error(row: Row) -> str:
    """Return the first line of the first failure of a row."""
    errors = (m.run.record.error or "" for m in row.runs)
    return next((lines[0] for error in errors if (lines := error.strip().splitlines())), "")


def units_of(columns: Sequence[Column], cells: Sequence[Mapping[str, Cell]]) -> dict[str, Unit]:
    """Return one unit for each column, in which all its cells are printed."""
    return {c.key: unit(c, [row[c.key].mean for row in cells if c.key in row]) for c in columns}


def best_of(columns: Sequence[Column], cells: Sequence[Mapping[str, Cell]]) -> dict[str, float]:
    """Return the best mean of each column; none for a column in which all are equal."""
    best = {}
    for column in columns:
        values = [row[column.key].mean for row in cells if column.key in row]
        known = [value for value in values if value is not None]
        if len(set(known)) > 1:
            best[column.key] = max(known) if column.better == "higher" else min(known)
    return best


def _tops(rows: Sequence[Row]) -> dict[str, float]:
    return {key: max((row.mean(key) or 0.0 for row in rows), default=0.0) for key in BARS}


def _cell(
    column: Column, row: Row, units: Mapping[str, Unit], best: Mapping[str, float], top: Mapping[str, float]
) -> CellView:
    if not row.ok:
        return CellView(column.group, "–", note="no run finished")
    cell, scale = row.cells[column.key], units[column.key]
    if cell.mean is None:
        return CellView(
            column.group, "–", note=column.unknown if cell.n == 0 else "unknown for one of the seeds"
        )
    highest = top.get(column.key)
    return CellView(
        column.group,
        text(column, cell.mean, scale),
        spread=spread_text(column, cell.mean, cell.std, scale),
        value=f"{cell.mean:.10g}",
        note=_seeds(cell),
        place=row.ranks.get(NETSCORES[column.key]) if column.key in NETSCORES else None,
        best=best.get(column.key) == cell.mean,
        bar=max(0, round(100 * cell.mean / highest)) if highest else None,
        range=printed_range(row, column.key) if column.key in row.ranges else None,
    )


def _seeds(cell: Cell) -> str:
    if cell.n < 2:
        return ""
    return f"mean ± standard deviation of {cell.n} seeds" if cell.std else f"the same for all {cell.n} seeds"
