"""Rank ranges of all boards: rows are drawn by all CPUs, and only where the last build has not drawn them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import RecordError
from benchmark.record import sha256_of
from reports.boards import Board, Row
from reports.parallel import chunks, run_jobs
from reports.perimage import images_name
from reports.ranges import RANKED, RowDraws, row_draws, with_ranges
from reports.runs import Run
from reports.sightings import Sightings, Stamp, lasting, stamp
from reports.store import KeptRanges, Store

CHUNK = 10
"""Rows drawn by one job."""


class Place(NamedTuple):
    """A row by its board's and its own position."""

    board: int
    row: int


def with_rank_ranges(
    boards: Sequence[Board],
    results: Path,
    store: Store | None = None,
    processes: int | None = None,
    sightings: Sightings | None = None,
) -> tuple[Board, ...]:
    """Return ``boards`` with the rank range of each row, or the reason why it has none.

    ``store``: where draws and ranges are kept from build to build; None keeps none. ``sightings``: what is
    known of the files (None: each is read).
    """
    counts = _Counts(results, sightings or Sightings())
    kept = [_kept(board, store, counts) for board in boards]
    known = [store.draws(b.slug) if store and k is None else {} for b, k in zip(boards, kept, strict=True)]
    drawn: list[dict[int, RowDraws | str]] = [{} for _ in boards]
    missing = []
    for i, board in enumerate(boards):
        for j, row in enumerate(board.rows) if kept[i] is None else ():
            found = known[i].get(_key(row)) if row.ok else None
            if found and counts.intact(row):
                drawn[i][j] = found
            elif row.ok:
                missing.append(Place(i, j))
                counts.will_be_read(row)
    jobs = [
        lambda some=some: [_drawn(boards[place.board].rows[place.row], results) for place in some]
        for some in chunks(missing, CHUNK)
    ]
    draws = [each for part in run_jobs(jobs, processes) for each in part]
    for place, each in zip(missing, draws, strict=True):
        drawn[place.board][place.row] = each
        if isinstance(each, RowDraws):
            counts.were_intact(boards[place.board].rows[place.row])
    stale = [i for i, last in enumerate(kept) if last is None]
    ranging = [lambda i=i: _ranges(boards[i], drawn[i], store, known[i]) for i in stale]
    fresh = dict(zip(stale, run_jobs(ranging, processes), strict=True))
    return tuple(_with(board, kept[i] or fresh[i]) for i, board in enumerate(boards))


def _drawn(row: Row, results: Path) -> RowDraws | str:
    """Return a row's draws or why it has none."""
    try:
        return row_draws(row, results)
    except RecordError as error:
        return str(error)


class _Counts:
    """The files of counts by image beside records: read here only where no job reads them anyway."""

    def __init__(self, results: Path, sightings: Sightings) -> None:
        self._results, self._sightings = str(results), sightings
        self._before: dict[str, Stamp | None] = {}

    def intact(self, row: Row) -> bool:
        """Whether those of a row are the files that the records were written with."""
        return all(self._intact(measured.run) for measured in row.counted)

    def _intact(self, run: Run) -> bool:
        path = self._path(run)
        return path is not None and self._sightings.digest(path) == run.record.images_digest

    def will_be_read(self, row: Row) -> None:
        """Look at the files of a row before a job reads them."""
        paths = filter(None, (self._path(measured.run) for measured in row.counted))
        self._before |= {path: lasting(stamp(path)) for path in paths}

    def were_intact(self, row: Row) -> None:
        """Remember that a job found in the files of a row what the records were written with."""
        for measured in row.counted:
            path, digest = self._path(measured.run), measured.run.record.images_digest
            if path is not None and digest is not None:
                self._sightings.note(path, self._before[path], digest)

    def _path(self, run: Run) -> str | None:
        try:
            name = images_name(run.record)
        except RecordError:
            return None
        folder = f"{self._results}/{run.path}".rpartition("/")[0]
        return f"{folder}/{name}"


def _kept(board: Board, store: Store | None, counts: _Counts) -> KeptRanges | None:
    """Return the ranges of the last build, where nothing they follow from has changed."""
    kept = store.ranges(board.slug) if store else None
    same = kept is not None and kept.key == _board_key(board)
    return kept if same and all(map(counts.intact, board.rows)) else None


def _with(board: Board, kept: KeptRanges) -> Board:
    rows = [
        replace(row, ranges=ranges, unranged=unranged)
        for row, ranges, unranged in zip(board.rows, kept.ranges, kept.unranged, strict=True)
    ]
    return replace(board, rows=tuple(rows))


def _ranges(
    board: Board, draws: Mapping[int, RowDraws | str], store: Store | None, known: Mapping[str, RowDraws]
) -> KeptRanges:
    """Return the ranges that the draws of a board's rows give, and keep both."""
    rows = with_ranges(board, draws).rows
    key, ranges = _board_key(board), tuple(row.ranges for row in rows)
    found = KeptRanges(key, ranges, tuple(row.unranged for row in rows))
    if store:
        _keep(store, board, {_key(board.rows[i]): each for i, each in draws.items()}, known)
        store.keep_ranges(board.slug, found)
    return found


def _keep(
    store: Store, board: Board, draws: Mapping[str, RowDraws | str], known: Mapping[str, RowDraws]
) -> None:
    kept = {key: value for key, value in draws.items() if isinstance(value, RowDraws)}
    if kept and kept.keys() != known.keys():
        store.keep_draws(board.slug, kept)


def _key(row: Row) -> str:
    """Return a digest of the records of a row, which name the files they are drawn from by digest."""
    return sha256_of(repr([measured.run.digest for measured in row.counted]).encode())


def _board_key(board: Board) -> str:
    """Return a digest of what the ranges of a board follow from, beside the files that the records name."""
    rows = [(row.ok, _key(row), [row.mean(column) for column in RANKED]) for row in board.rows]
    return sha256_of(repr(rows).encode())
