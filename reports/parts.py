"""Parts of the site that are written side by side, and only where something they show has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import benchmark.measure.operators
import benchmark.measure.others
import benchmark.metrics
import benchmark.record
from benchmark.record import sha256_of
from reports.album import Album, Kept
from reports.boardpage import write_board, write_board_data, write_board_runs
from reports.boards import Board
from reports.known import is_foreign
from reports.livedata import defaults_of
from reports.methodpage import MethodEntry, compared_with, method_key, write_method, write_method_list
from reports.output import Tally
from reports.overview import write_guide
from reports.pages import Picture, Site
from reports.parallel import chunks
from reports.protocolpage import Listing, protocols_key, write_protocols
from reports.publishedpage import write_published
from reports.reading import Runs
from reports.runs import Run
from reports.store import Store, shard_of
from reports.variantpage import Beside, write_variant
from reports.variants import Variant, variants_of

CHUNK = 5
"""Variants whose pages are written by one job."""
_SOURCES = ("*.py", "*.toml", "templates/*.j2")
_PACKAGES = ("jinja2", "markupsafe", "matplotlib", "numpy")


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
        return Done(own.output.done(), pictures or {})

    return run


def part_job(
    site: Site, name: str, key: str, write: Callable[[Site], Mapping[str, Picture] | None]
) -> list[Job]:
    """Return the job of a part; none where the last build left it as ``key`` would have it."""
    if site.output.reuse(name, key):
        return []

    def write_part(own: Site) -> Mapping[str, Picture] | None:
        with own.output.part(name, key):
            return write(own)

    return [job(site, write_part)]


def board_jobs(site: Site, board: Board) -> list[Job]:
    """Return the jobs of a board's pages, figures and tables, if they have to be written."""

    def write(own: Site) -> dict[str, Picture]:
        picture = write_board(own, board)
        return {board.slug: picture} if picture else {}

    key = _board_key(site, board)
    data = part_job(site, f"data of {board.slug}", key, lambda own: write_board_data(own, board))
    every = part_job(site, f"runs of {board.slug}", key, lambda own: write_board_runs(own, board))
    return [*part_job(site, f"board {board.slug}", key, write), *data, *every]


def _board_key(site: Site, board: Board) -> str:
    rows = [*([board.joint] if board.joint else []), *board.rows]
    runs = [(m.run.path, m.run.digest) for row in rows for m in row.runs]
    ranges = [(sorted(row.ranges.items()), row.unranged) for row in rows]
    styles = [site.styles[row.variant] for row in board.rows]
    return _key(
        _context(site), runs, ranges, styles, is_foreign(board.first), defaults_of(board), board.doubts
    )


def variants_jobs(site: Site, runs: Sequence[Run], results: Path, album: Album) -> list[Job]:
    """Return the jobs of the pages of those variants of which a run changed."""
    context = _context(site)
    stale = []
    for variant in variants_of(runs):
        kept = [album.of(run.record) for run in variant.runs]
        key = _variant_key(context, variant, kept)
        if not site.output.reuse(f"variant {variant.page}", key):
            stale.append(_Stale(variant, kept, key))

    def written(some: Sequence[_Stale]) -> Job:
        def write(own: Site) -> None:
            for variant, kept, key in some:
                contents = [(results / run.path).read_bytes() for run in variant.runs]
                with own.output.part(f"variant {variant.page}", key):
                    write_variant(own, variant, list(map(Beside, contents, kept)))

        return job(site, write)

    return [written(some) for some in chunks(stale, CHUNK)]


def _variant_key(context: str, variant: Variant, kept: Sequence[Kept | None]) -> str:
    """As :func:`_key`, without the time that the quoting of thousands of texts takes."""
    runs = zip(variant.runs, kept, strict=True)
    lines = [f"{run.digest} {own.digest if own else None} {run.path}" for run, own in runs]
    return sha256_of("\n".join([context, *lines]).encode("utf-8", "backslashreplace"))


class _Stale(NamedTuple):
    """A variant whose page has to be written, the pictures of its runs, and what settles the page."""

    variant: Variant
    kept: Sequence[Kept | None]
    key: str


def methods_jobs(site: Site, methods: Sequence[MethodEntry], boards: Sequence[Board]) -> list[Job]:
    """Return the jobs of the list of methods, and of the pages of those of which a row changed."""

    def written(entry: MethodEntry) -> list[Job]:
        key = _key(_context(site), entry, method_key(entry, boards, shown))
        return part_job(site, f"method {entry.slug}", key, lambda own: write_method(own, entry, boards))

    shown = {board.slug: compared_with(board) for board in boards}
    key = _key(_context(site), methods)
    listed = part_job(site, "methods", key, lambda own: write_method_list(own, methods))
    return [*listed, *(each for entry in methods for each in written(entry))]


def protocols_jobs(site: Site, listing: Listing, boards: Sequence[Board]) -> list[Job]:
    """Return the job of the pages of protocols, which show of a board where it is and how its steps began."""
    key = _key(_context(site), protocols_key(boards))
    return part_job(site, "protocols", key, lambda own: write_protocols(own, listing, boards))


def store_jobs(site: Site, store: Store, read: Runs) -> list[Job]:
    """Return the jobs that keep the runs for the next build, a shard each of those that changed."""

    def keep(shard: int) -> Job:
        return job(
            site, lambda _: store.keep_runs(shard, (r for r in read.runs if shard_of(r.path) == shard))
        )

    return [keep(shard) for shard in sorted({shard_of(path) for path in read.changed})]


def fixed_jobs(site: Site) -> list[Job]:
    """Return the jobs of the pages that show nothing of any record: the guide, and published numbers."""
    pages = {"guide": write_guide, "published": write_published}
    return [each for name, write in pages.items() for each in part_job(site, name, _context(site), write)]


def _context(site: Site) -> str:
    """Return a digest of what every page may show beside records."""
    return _key(_code(), site.papers.digest, site.protocols)


@cache
def _code() -> str:
    """Return a digest of the code and templates that pages are made by, and of the packages they use."""
    folder = Path(__file__).parent
    files = sorted(path for pattern in _SOURCES for path in folder.glob(pattern))
    measure = benchmark.measure
    modules = (measure.operators, measure.others, benchmark.metrics, benchmark.record)
    files += [Path(module.__file__ or "") for module in modules]
    texts = [f"{path.name} {sha256_of(path.read_bytes())}" for path in files]
    return _key(texts, [version(name) for name in _PACKAGES])


def _key(*values: object) -> str:
    return sha256_of(repr(values).encode("utf-8", "backslashreplace"))
