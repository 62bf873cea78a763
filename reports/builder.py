"""Records in, site out: the whole report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.boardpage import write_board
from reports.boards import Board, boards_of
from reports.figures import styles
from reports.load import LeftOut, load
from reports.markup import environment
from reports.methodpage import entries, read_methods, write_methods
from reports.output import Output
from reports.overview import write_overview
from reports.pages import Site
from reports.protocolpage import read_scenarios, write_protocols
from reports.published import read_papers
from reports.publishedpage import write_published
from reports.ranges import draws_of, with_ranges
from reports.runpage import write_run
from reports.runs import scored

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class BuildSummary:
    """What a build did. ``left_out``: files that are not on the page, each with its reason."""

    index: Path
    boards: tuple[Board, ...]
    runs: int
    written: int
    unchanged: int
    removed: int
    left_out: tuple[LeftOut, ...]


def build(results: Path, out: Path, methods: dict[str, Path] | None = None) -> BuildSummary:
    """Render the site of all records under ``results`` into ``out``: the same bytes for the same records.

    Only files that changed are written, only figures whose content changed are drawn, and files of an
    earlier build that are no longer part of the site are removed. ``methods``: the source of each
    method by name, for its page; None: those of the project. Raises RecordError where ``results`` does
    not exist.
    """
    loaded = load(results)
    runs = [scored(found) for found in loaded.found]
    boards = tuple(with_ranges(board, draws_of(board, results)) for board in boards_of(runs))
    documented = read_methods(methods)
    papers = read_papers(results)
    listing = read_scenarios()
    left_out = (*loaded.left_out, *documented.left_out, *papers.left_out, *listing.left_out)
    listed = entries(documented.docs, boards, {run.record.method for run in runs})
    output = Output(out)
    site = Site(environment(), output, styles(boards), papers, listing.pages)
    for asset in sorted(path for path in ASSETS.rglob("*") if path.is_file()):
        output.write(f"assets/{asset.relative_to(ASSETS).as_posix()}", asset.read_bytes())
    home = {m.run.slug: board for board in boards for row in board.rows for m in row.runs}
    drawn = {board.slug: write_board(site, board) for board in boards}
    for run in runs:
        write_run(site, run, home.get(run.slug), (results / run.path).read_bytes())
    write_methods(site, listed, boards)
    write_published(site)
    write_protocols(site, listing, boards)
    pictures = {slug: picture for slug, picture in drawn.items() if picture}
    write_overview(site, boards, runs, listed, left_out, pictures)
    output.finish()
    return BuildSummary(
        out / "index.html", boards, len(runs), output.written, output.unchanged, output.removed, left_out
    )
