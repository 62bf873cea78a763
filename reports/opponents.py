"""Who is compared: two names of variants, or files of records, to the runs they stand for, board by board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from benchmark.consistency import check
from benchmark.errors import RecordError, unknown_name
from benchmark.record import Record, read_record
from reports.boards import Board, Measured, Row, boards_of, is_bound
from reports.load import Found, Loaded, load, when
from reports.lookup import board_name, find_board, shown_all
from reports.runs import scored

_DIGITS = 8


class Member(NamedTuple):
    """A finished run of a side, and where its record lies."""

    measured: Measured
    file: Path


@dataclass(frozen=True)
class Side:
    """One of the two: the runs that count for it. ``note`` says what a reader would not expect."""

    name: str
    members: tuple[Member, ...]
    note: str = ""

    @property
    def records(self) -> list[Record]:
        """Return the records of its runs."""
        return [member.measured.run.record for member in self.members]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of its runs."""
        return tuple(record.seed for record in self.records)

    @cached_property
    def hardware(self) -> tuple[str, ...]:
        """What its runs ran on."""
        return tuple(sorted({member.measured.run.hardware for member in self.members}))


class Match(NamedTuple):
    """Two sides on one board, called ``name``."""

    board: Board
    name: str
    a: Side
    b: Side


class Pool(NamedTuple):
    """The records of a folder, and what they make."""

    results: Path
    loaded: Loaded
    boards: tuple[Board, ...]


def matches(results: Path, first: str, second: str, boards: Sequence[str] = ()) -> tuple[Match, ...]:
    """Return ``first`` against ``second`` on each of ``boards``; where none is named, on all that have both.

    A name that ends in ``.json`` is a record's file, any other a variant, ``variant@digest`` where it has
    several sources. Raises RecordError, one sentence, where they are not on one board.
    """
    names = (first, second)
    alone = all(map(is_file, names)) and not results.is_dir()
    loaded = Loaded((), ()) if alone else load(results)
    pool = Pool(results, loaded, boards_of([scored(found) for found in loaded.found]))
    if any(map(is_file, names)):
        return (_of_files(pool, names, boards),)
    chosen = [find_board(pool.boards, name) for name in dict.fromkeys(boards)] or _with_both(pool, names)
    return tuple(
        _match(pool, board, *(_side_of_row(pool, board, name) for name in names)) for board in chosen
    )


def is_file(name: str) -> bool:
    """Whether a name is a record's file."""
    return name.endswith(".json")


def _match(pool: Pool, board: Board, a: Side, b: Side) -> Match:
    if a.name == b.name and a.members != b.members:
        a, b = (
            replace(side, name=f"{side.name} @{side.records[0].source_digest[:_DIGITS]}") for side in (a, b)
        )
    if a.name == b.name and a.members != b.members:
        a, b = (replace(side, name=f"{side.name}, {side.members[0].file.name}") for side in (a, b))
    return Match(board, board_name(board, pool.boards), a, b)


def _with_both(pool: Pool, names: Sequence[str]) -> list[Board]:
    """Return the boards on which both variants have a finished run."""
    on = {name: [board for board in pool.boards if _rows(board, name)] for name in names}
    for name, boards in on.items():
        if not boards:
            known = {row.variant for board in pool.boards for row in board.rows if row.ok}
            raise RecordError(unknown_name("variant", name, shown_all(known)))
    both = [board for board in on[names[0]] if board in on[names[1]]]
    if not both:
        lists = [", ".join(board_name(b, pool.boards) for b in boards) for boards in on.values()]
        raise RecordError(
            f"no board has both: {names[0]!r} is on {lists[0]}, {names[1]!r} on {lists[1]}; "
            "expected runs of both on one protocol and model"
        )
    return both


def _rows(board: Board, name: str) -> list[Row]:
    """Return the finished rows called ``name``, or ``name@digest``, the newest first."""
    plain, _, digest = name.rpartition("@")
    exact = [row for row in board.rows if row.ok and row.variant == name]
    sourced = [row for row in board.rows if row.ok and row.variant == plain and digest]
    found = exact or [row for row in sourced if row.source_digest.startswith(digest)]
    return sorted(found, key=_finished, reverse=True)


def _finished(row: Row) -> tuple[float, str]:
    return max(when(m.run.record.finished) for m in row.counted), row.source_digest


def _side_of_row(pool: Pool, board: Board, name: str) -> Side:
    rows = _rows(board, name)
    if not rows:
        known = {row.variant for row in board.rows if row.ok}
        raise RecordError(
            unknown_name(f"variant of {board_name(board, pool.boards)}", name, shown_all(known))
        )
    row, others = rows[0], rows[1:]
    members = tuple(Member(measured, pool.results / measured.run.path) for measured in row.counted)
    note = f"the newest of {len(rows)} sources, {row.source_digest[:_DIGITS]}" if others else ""
    digests = " or ".join(f"{row.variant}@{other.source_digest[:_DIGITS]}" for other in others)
    return Side(row.variant, members, f"{note}; another is named {digests}" if others else "")


def _of_files(pool: Pool, names: tuple[str, str], boards: Sequence[str]) -> Match:
    """Return a match of which one side at least is a single run."""
    files = [name for name in names if is_file(name)]
    runs = {name: _side_of_file(pool, Path(name)) for name in files}
    (board, _), *others = runs.values()
    for other, _ in others:
        _refuse_other(board, other)
    for name in boards:
        _refuse_other(board, find_board(pool.boards, name))
    a, b = (runs[name][1] if name in runs else _side_of_row(pool, board, name) for name in names)
    return _match(pool, board, a, b)


def _refuse_other(board: Board, other: Board) -> None:
    one, two = board.first, other.first
    if one.protocol_digest != two.protocol_digest:
        raise RecordError(
            f"scores of {one.protocol} (digest {one.protocol_digest[:12]}) and of {two.protocol} (digest "
            f"{two.protocol_digest[:12]}) are not comparable: what was trained or scored differs"
        )
    if one.model != two.model:
        raise RecordError(f"runs on {one.model} and on {two.model} are not comparable: their models differ")


def _side_of_file(pool: Pool, file: Path) -> tuple[Board, Side]:
    record = read_record(file)
    check(record)
    _refuse_unranked(record, file)
    path = file.resolve().as_posix()
    known = [found for found in pool.loaded.found if (pool.results / found.path).resolve() != file.resolve()]
    runs = [scored(found) for found in [*known, Found(path, record)]]
    key = (record.protocol_digest, record.model)
    (board,) = (b for b in boards_of(runs) if (b.first.protocol_digest, b.first.model) == key)
    measured = next(m for row in board.rows for m in row.runs if m.run.path == path)
    return board, Side(f"{record.variant}, seed {record.seed}", (Member(measured, file),))


def _refuse_unranked(record: Record, file: Path) -> None:
    if record.status != "ok":
        raise RecordError(f"run {file} ended as {record.status}; only finished runs can be compared")
    if record.split != "test" or is_bound(record):
        what = "joint training, a bound" if is_bound(record) else f"scored on the {record.split} split"
        raise RecordError(f"run {file} is {what}; expected a run that could be on a board")
