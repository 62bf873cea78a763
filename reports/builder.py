"""Records in, site out: the whole report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.collector import few_collections, made_to_last
from reports.album import read_album
from reports.boardpage import board_picture
from reports.boards import Board, boards_of
from reports.figures import styles
from reports.known import foreign
from reports.load import LeftOut
from reports.markup import environment
from reports.methodpage import entries, read_methods
from reports.output import Output
from reports.overview import write_overview
from reports.pages import Picture, Site
from reports.parallel import cpus, run_jobs
from reports.parts import (
    board_jobs,
    fixed_jobs,
    methods_jobs,
    protocols_jobs,
    store_jobs,
    variants_jobs,
)
from reports.protocolpage import read_scenarios
from reports.published import read_papers
from reports.reading import read_runs
from reports.resampling import with_rank_ranges
from reports.sightings import Sightings
from reports.store import Store

ASSETS = Path(__file__).parent / "assets"
SHARED = 200
"""Runs from which on the work is shared among processes."""


@dataclass(frozen=True)
class BuildSummary:
    """What a build did. ``left_out``: files that are not on the page, each with its reason.

    ``changed``: files of the site that were written or removed; in a dry run, that would be. ``foreign``:
    records that are shown, but with a digest that no protocol here has.
    """

    index: Path
    boards: tuple[Board, ...]
    runs: int
    written: int
    unchanged: int
    removed: int
    left_out: tuple[LeftOut, ...]
    changed: tuple[str, ...]
    foreign: tuple[LeftOut, ...]

    @property
    def files(self) -> int:
        """How many files the site and what of an earlier one does not belong to it have."""
        return self.written + self.unchanged + self.removed


@few_collections()
def build(
    results: Path,
    out: Path,
    methods: dict[str, Path] | None = None,
    *,
    pictures: Path | None = None,
    dry: bool = False,
    processes: int | None = None,
) -> BuildSummary:
    """Render the site of all records under ``results`` into ``out``: the same bytes for the same records.

    Only files that changed are written, only figures whose content changed are drawn, and files of an
    earlier build that are no longer part of the site are removed. ``methods``: the source of each
    method by name, for its page; None: those of the project. ``pictures``: a folder of test images and
    predictions to show, photographs among them; None: rendered ones of ``results/pictures`` alone.
    ``dry``: nothing is written, and every file is read and compared. ``processes``: how many share the work
    (None: as it deserves). Raises RecordError where ``results`` or ``pictures`` does not exist.
    """
    store = Store(results)
    sightings = Sightings({} if dry else store.sightings())
    known = store.runs()
    made_to_last()
    read = read_runs(results, known, processes, sightings)
    made_to_last()
    runs = read.runs
    share = processes or _worth(len(runs))
    boards = with_rank_ranges(boards_of(runs), results, None if dry else store, share, sightings)
    documented = read_methods(methods)
    papers = read_papers(results)
    listing = read_scenarios()
    album = read_album(results, pictures)
    left_out = (
        *read.left_out, *documented.left_out, *papers.left_out, *listing.left_out, *album.left_out,
    )  # fmt: skip
    listed = entries(documented.docs, boards, {run.record.method for run in runs})
    output = Output(out, dry, sightings)
    site = Site(environment(None if dry else store), output, styles(boards), papers, listing.pages)
    for asset in sorted(path for path in ASSETS.rglob("*") if path.is_file()):
        output.write(f"assets/{asset.relative_to(ASSETS).as_posix()}", asset.read_bytes())
    jobs = [each for board in boards for each in board_jobs(site, board)]
    jobs += variants_jobs(site, runs, results, album)
    jobs += methods_jobs(site, listed, boards)
    jobs += fixed_jobs(site)
    jobs += protocols_jobs(site, listing, boards)
    if not dry:
        store.clean()
        jobs += store_jobs(site, store, read)
    figures: dict[str, Picture] = {}
    for done in run_jobs(jobs, share):
        output.merge(done.tally)
        figures |= done.pictures
    for board in boards:
        if board.slug not in figures and (picture := board_picture(site, board)):
            figures[board.slug] = picture
    write_overview(site, boards, runs, listed, left_out, figures)
    removed = output.finish()
    if not dry:
        store.keep_sightings(sightings)
    tally = output.tally
    return BuildSummary(
        out / "index.html",
        boards,
        len(runs),
        len(tally.changed) - removed,
        tally.unchanged,
        removed,
        left_out,
        tuple(sorted(tally.changed)),
        foreign(runs),
    )


def _worth(runs: int) -> int:
    """Return how many processes a site of so many runs is worth."""
    return cpus() if runs >= SHARED else 1
