"""Tables as the page shows them: printed numbers, units, links, what is best, and why a value is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from benchmark.metrics import BOARDS
from reports.boards import RANKING, Board, Measured, Row
from reports.columns import BY_KEY, GROUPS, Column, Group, Unit, spread_text, text, unit
from reports.ranges import Range, printed_range
from reports.runs import slug
from reports.tables import Cell

RowKind = Literal["bound", "ranked", "failed"]
DIRECT = 150
"""Rows up to which every number of a row with one run leads to that run itself."""
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
    hardware: str = ""


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
    return replace(found, rows=tuple(replace(row, href=_near(row, board, len(rows))) for row in found.rows))


def _near(row: RowView, board: Board, rows: int) -> str:
    """Return a row's link from its board's own folder.

    On a long board always to the list of runs: the same long link at each of a row's numbers would make
    the page too large.
    """
    folder = f"boards/{board.slug}/"
    if rows > DIRECT or folder in row.href:
        return f"runs.html#{row.anchor}"
    return row.href


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
            href=_source(row, board, root),
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


def _source(row: Row, board: Board, root: str) -> str:
    """Return where a row's numbers lead: its run, or the list of its runs."""
    if len(row.runs) == 1:
        return f"{root}{row.runs[0].run.page}.html"
    return f"{root}boards/{board.slug}/runs.html#{row_id(row, board)}"


def first_error(row: Row) -> str:
    """Return the first line of the first failure of a row."""
    return next((line for m in row.runs if (line := first_line(m.run.record.error))), "")


def first_line(error: str | None) -> str:
    """Return the first line of an error; empty for none."""
    return next(iter((error or "").strip().splitlines()), "")


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


def runs_table(board: Board, root: str) -> Table:
    """Return every run behind a board, failed ones included; columns of the groups shown at first."""
    shown = {group.key for group in GROUPS if group.shown}
    columns = [column for column in board.columns if column.group in shown]
    rows = [*([board.joint] if board.joint else []), *board.rows]
    values = [m.measures for row in rows for m in row.runs]
    units = {c.key: unit(c, [measures.get(c.key) for measures in values]) for c in columns}
    views = tuple(_run_row(m, row, board, root, units) for row in rows for m in row.runs)
    headers = tuple(Header(column, units[column.key].name) for column in columns)
    return Table(f"Runs of {board.first.protocol} on {board.first.model}", headers, views)


def _run_row(measured: Measured, row: Row, board: Board, root: str, units: Mapping[str, Unit]) -> RowView:
    run, record = measured.run, measured.run.record
    bound = row is board.joint
    twin = "" if measured in row.counted or not run.ok else "older twin, not counted"
    return RowView(
        kind="bound" if bound else "ranked" if run.ok else "failed",
        name=row.variant,
        note="joint training" if bound else twin,
        anchor=row_id(row, board) if measured is row.runs[0] else run.slug,
        href=f"{root}{run.page}.html",
        seeds=record.seed,
        badges=(Badge(record.status, 1),),
        cells=tuple(_run_cell(BY_KEY[key], measured, scale) for key, scale in units.items()),
        error=first_line(record.error),
        hardware=run.hardware,
    )


def _run_cell(column: Column, measured: Measured, scale: Unit) -> CellView:
    value = measured.measures.get(column.key)
    if value is None:
        status = measured.run.record.status
        return CellView(
            column.group, "–", note=column.unknown if status == "ok" else f"the run ended as {status}"
        )
    return CellView(column.group, text(column, value, scale), value=f"{value:.10g}")
