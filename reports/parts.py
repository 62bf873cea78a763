"""Parts of the site that are written side by side, and only where something they show has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import benchmark.metrics
import benchmark.record
from benchmark.record import sha256_of
from reports.album import Album
from reports.boardpage import board_picture, write_board
from reports.boards import Board
from reports.known import is_foreign
from reports.livedata import defaults_of
from reports.output import Tally
from reports.pages import Picture, Site
from reports.publishedpage import write_published
from reports.reading import Runs
from reports.runpage import Home, write_run
from reports.runs import Run
from reports.store import Store, shard_of

_SOURCES = ("*.py", "*.toml", "templates/*.j2")
_PACKAGES = ("jinja2", "markupsafe", "matplotlib", "numpy", "pandas")


class Done(NamedTuple):
    """What a job wrote, and a board's picture of the trade-off by its slug."""

    tally: Tally
    pictures: Mapping[str, Picture]


Job = Callable[[], Done]


def job(site: Site, write: Callable[[Site], Mapping[str, Picture] | None]) -> Job:
    """Return a job that writes a part of the site and hands back what it wrote."""

    def run() -> Done:
        own = replace(site, output=site.output.apart())
        pictures = write(own)
        return Done(own.output.tally, pictures or {})

    return run


def board_job(site: Site, board: Board) -> Job:
    """Return the job of a board's pages and figures."""

    def write(own: Site) -> dict[str, Picture]:
        name, key = f"board {board.slug}", _board_key(own, board)
        if own.output.reuse(name, key):
            picture = board_picture(own, board)
        else:
            with own.output.part(name, key):
                picture = write_board(own, board)
        return {board.slug: picture} if picture else {}

    return job(site, write)


def _board_key(site: Site, board: Board) -> str:
    rows = [*([board.joint] if board.joint else []), *board.rows]
    runs = [(m.run.path, m.run.digest) for row in rows for m in row.runs]
    ranges = [(sorted(row.ranges.items()), row.unranged) for row in rows]
    styles = [site.styles[row.variant] for row in board.rows]
    return _key(
        _context(site), runs, ranges, styles, is_foreign(board.first), defaults_of(board), board.doubts
    )


def runs_job(site: Site, runs: Sequence[Run], homes: Mapping[str, Home], results: Path, album: Album) -> Job:
    """Return the job of some runs' pages. ``homes``: the board of each by its slug."""

    def write(own: Site) -> None:
        context = _context(own)
        for run in runs:
            home, kept = homes.get(run.slug), album.of(run.record)
            pictured = kept.digest if kept else ""
            name, key = f"run {run.slug}", _key(context, run.path, run.digest, home, pictured)
            if not own.output.reuse(name, key):
                with own.output.part(name, key):
                    write_run(own, run, home, (results / run.path).read_bytes(), kept)

    return job(site, write)


def store_jobs(site: Site, store: Store, read: Runs) -> list[Job]:
    """Return the jobs that keep the runs for the next build, a shard each of those that changed."""

    def keep(shard: int) -> Job:
        return job(
            site, lambda _: store.keep_runs(shard, (r for r in read.runs if shard_of(r.path) == shard))
        )

    return [keep(shard) for shard in sorted({shard_of(path) for path in read.changed})]


def published_job(site: Site) -> Job:
    """Return the job of the pages of published numbers, which show nothing of any record."""

    def write(own: Site) -> None:
        key = _context(own)
        if not own.output.reuse("published", key):
            with own.output.part("published", key):
                write_published(own)

    return job(site, write)


def homes_of(boards: Iterable[Board]) -> dict[str, Home]:
    """Return the board that each run counts on, joint runs apart, by the run's slug."""
    return {
        measured.run.slug: Home(board.slug, board.first.protocol, board.first.model)
        for board in boards
        for row in board.rows
        for measured in row.runs
    }


def _context(site: Site) -> str:
    """Return a digest of what every page may show beside records."""
    return _key(_code(), site.papers.digest, site.protocols)


@cache
def _code() -> str:
    """Return a digest of the code and templates that pages are made by, and of the packages they use."""
    folder = Path(__file__).parent
    files = sorted(path for pattern in _SOURCES for path in folder.glob(pattern))
    files += [Path(module.__file__ or "") for module in (benchmark.metrics, benchmark.record)]
    texts = [f"{path.name} {sha256_of(path.read_bytes())}" for path in files]
    return _key(texts, [version(name) for name in _PACKAGES])


def _key(*values: object) -> str:
    return sha256_of(repr(values).encode("utf-8", "backslashreplace"))
