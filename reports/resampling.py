"""Rank ranges of all boards: rows are drawn by all CPUs, and only where the last build has not drawn them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import RecordError
from benchmark.record import sha256_of
from reports.boards import Board, Row
from reports.parallel import chunks, run_jobs
from reports.perimage import read_content
from reports.ranges import RowDraws, row_draws, with_ranges
from reports.runs import Run
from reports.store import Store

CHUNK = 10
"""Rows drawn by one job."""


class Place(NamedTuple):
    """A row by its board's and its own position, and the key its draws are kept under."""

    board: int
    row: int
    key: str


def with_rank_ranges(
    boards: Sequence[Board], results: Path, store: Store | None = None, processes: int | None = None
) -> tuple[Board, ...]:
    """Return ``boards`` with the rank range of each row, or the reason why it has none.

    ``store``: where draws are kept from build to build; None keeps none.
    """
    known = [store.draws(board.slug) if store else {} for board in boards]
    places = [
        Place(i, j, _key(row)) for i, board in enumerate(boards) for j, row in enumerate(board.rows) if row.ok
    ]
    jobs = [
        lambda some=some: [
            _drawn(boards[p.board].rows[p.row], known[p.board].get(p.key), results) for p in some
        ]
        for some in chunks(places, CHUNK)
    ]
    found = [draws for part in run_jobs(jobs, processes) for draws in part]
    drawn: list[dict[int, RowDraws | str]] = [{} for _ in boards]
    for place, draws in zip(places, found, strict=True):
        drawn[place.board][place.row] = known[place.board][place.key] if draws is None else draws
    if store:
        for i, board in enumerate(boards):
            _keep(store, board, {p.key: drawn[i][p.row] for p in places if p.board == i}, known[i])
    return tuple(with_ranges(board, draws) for board, draws in zip(boards, drawn, strict=True))


def _drawn(row: Row, known: RowDraws | None, results: Path) -> RowDraws | str | None:
    """Return a row's draws or why it has none; None where ``known`` are they."""
    if known and all(_intact(measured.run, results) for measured in row.counted):
        return None
    try:
        return row_draws(row, results)
    except RecordError as error:
        return str(error)


def _intact(run: Run, results: Path) -> bool:
    try:
        read_content(run.record, results / run.path)
    except RecordError:
        return False
    return True


def _keep(
    store: Store, board: Board, draws: Mapping[str, RowDraws | str], known: Mapping[str, RowDraws]
) -> None:
    kept = {key: value for key, value in draws.items() if isinstance(value, RowDraws)}
    if kept and kept.keys() != known.keys():
        store.keep_draws(board.slug, kept)


def _key(row: Row) -> str:
    """Return a digest of the records of a row, which name the files they are drawn from by digest."""
    return sha256_of(repr([measured.run.digest for measured in row.counted]).encode())
