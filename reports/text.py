"""The boards as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.boards import RANKING, Board, Row
from reports.columns import BY_KEY, Column, Unit, number, text, unit
from reports.specs import shown

HEADINGS = {
    "miou_all_percent": "mIoU all",
    "miou_old_percent": "old",
    "miou_new_percent": "new",
    "forgetting_points": "forgets",
    "forget_score_points": "to joint",
    "netscore_train": "NS train",
    "netscore_clora": "NS clora",
    "netscore_deploy": "NS deploy",
    "trainable_percent": "trained",
    "memory_ratio": "memory",
    "iteration_ratio": "time",
}
MOST_ROWS = 40
"""Rows of a board that are printed: what follows is read on its page."""
_WITH_SPREAD = ("miou_all_percent",)
_LEGEND = (
    f"Ranked by NetScore (NS) {RANKING}, in dB. mIoU, old, new and trained in %; forgets and to joint in\n"
    "points; memory and time of an iteration as ratios to fine_tune on the same hardware; – is unknown."
)


def render(boards: Sequence[Board]) -> str:
    """Return boards as text, with what the columns mean."""
    if not boards:
        return "No board yet: no run was scored on a test split."
    return "\n\n".join([*map(board_text, boards), _LEGEND])


def board_text(board: Board) -> str:
    """Return one board: joint training first, then the rows by rank, failed ones last.

    Of a board of more than ``MOST_ROWS`` the first ones, and where the others are.
    """
    columns = [BY_KEY[key] for key in HEADINGS]
    rows = [*([board.joint] if board.joint else []), *board.rows[:MOST_ROWS]]
    units = {c.key: unit(c, [row.mean(c.key) for row in rows]) for c in columns}
    head = ["", "method", *HEADINGS.values(), "seeds"]
    lines = [head, *(_line(row, board, columns, units) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    title = f"{shown(board.first.protocol, 60)} on {shown(board.first.model, 40)}"
    body = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    rule = "─" * max(map(len, body))
    hidden = len(board.rows) - MOST_ROWS
    more = [f"and {hidden} more, on the page boards/{board.slug}/index.html"] if hidden > 0 else []
    return "\n".join([title, rule, body[0], rule, *body[1:], rule, *more])


def _padded(line: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if i in {1, len(line) - 1} else cell.rjust(width)


def _line(row: Row, board: Board, columns: Sequence[Column], units: dict[str, Unit]) -> list[str]:
    rank = row.ranks.get(RANKING)
    name = "joint training" if row is board.joint else shown(row.variant, 32)
    failed = [f"{count} {status}" for status, count in row.statuses.items() if status != "ok"]
    status = ", ".join([str(len(row.counted)), *failed])
    return [str(rank or ""), name, *(_cell(row, column, units[column.key]) for column in columns), status]


def _cell(row: Row, column: Column, scale: Unit) -> str:
    cell = row.cells.get(column.key)
    if cell is None or cell.mean is None:
        return "–"
    if column.kind == "decibel":
        return number(cell.mean, 1)
    spread = (
        f" ± {text(column, cell.std, scale)}" if column.key in _WITH_SPREAD and cell.std is not None else ""
    )
    return f"{text(column, cell.mean, scale)}{spread}".replace("\u202f", " ")
