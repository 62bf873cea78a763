"""Boards and columns by the names a user types; an unknown one is told the nearest match and the choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmark.errors import RecordError, unknown_name
from reports.boards import Board
from reports.columns import BY_KEY, Column
from reports.specs import shown

_DIGITS = 8


def board_name(board: Board, boards: Iterable[Board]) -> str:
    """Return ``protocol/model``, with digits of its protocol's digest where several boards bear that name."""
    twins = [other for other in boards if _plain(other) == _plain(board)]
    name = shown(_plain(board), 120)
    return name if len(twins) < 2 else f"{name}@{board.first.protocol_digest[:_DIGITS]}"


def _plain(board: Board) -> str:
    return f"{board.first.protocol}/{board.first.model}"


def find_board(boards: Sequence[Board], name: str) -> Board:
    """Return the board called ``name``: PROTOCOL, PROTOCOL/MODEL or PROTOCOL/MODEL@DIGEST.

    Raises RecordError for a name that no board bears, or several.
    """
    found = [board for board in boards if _is(board, name)]
    if not found:
        raise RecordError(unknown_name("board", name, (board_name(board, boards) for board in boards)))
    if len(found) > 1:
        names = ", ".join(board_name(board, boards) for board in found)
        raise RecordError(f"board {name!r} is one of {len(found)}; expected one of {names}")
    return found[0]


def _is(board: Board, name: str) -> bool:
    plain, _, digest = name.rpartition("@")
    if plain and _plain(board) == plain:
        return bool(digest) and board.first.protocol_digest.startswith(digest)
    return name in (board.first.protocol, _plain(board))


def shown_all(names: Iterable[str]) -> list[str]:
    """Return free text fit for a message: printable characters alone."""
    return [shown(name, 80) for name in names]


def only(board: Board, variants: Sequence[str]) -> Board:
    """Return a board with the rows of ``variants`` alone, ranks as they were; all rows for none.

    Raises RecordError for a variant that has no row.
    """
    known = {row.variant for row in board.rows}
    for variant in variants:
        if variant not in known:
            raise RecordError(unknown_name(f"variant of {board_name(board, [])}", variant, shown_all(known)))
    return replace(board, rows=tuple(row for row in board.rows if row.variant in variants or not variants))


def find_column(kind: str, name: str, choices: Iterable[Column]) -> Column:
    """Return the column of ``choices`` with the key ``name``, in which dashes count as underscores.

    Raises RecordError, where ``kind`` says what was looked for.
    """
    known = {column.key for column in choices}
    key = name.replace("-", "_")
    if key not in known:
        raise RecordError(unknown_name(kind, name, known))
    return BY_KEY[key]
