"""The first page: what is compared, who leads where, the trade-off in one picture, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reports.boardpage import joint_accuracy
from reports.boards import RANKING, Board, is_bound
from reports.columns import COLUMNS
from reports.figures import ACCURACY
from reports.load import LeftOut
from reports.methodpage import MethodEntry
from reports.output import Image
from reports.pages import Picture, Site
from reports.runs import Run
from reports.summary import Leader, Tag, leaders, tags
from reports.tables import export

PICTURED = 6
"""Boards in the picture: those with the most rows."""


class Card(NamedTuple):
    """A board in the list."""

    slug: str
    protocol: str
    model: str
    rows: int
    runs: int
    failed: int
    tags: tuple[Tag, ...]
    leaders: tuple[Leader, ...]
    joint: str


class Shot(NamedTuple):
    """A board's trade-off on the first page."""

    card: Card
    image: Image
    alt: str


class Line(NamedTuple):
    """A run in a plain list. ``href``: its place on the page of its variant."""

    href: str
    variant: str
    protocol: str
    model: str
    seed: int
    status: str
    miou: str


def write_overview(
    site: Site,
    boards: Sequence[Board],
    runs: Sequence[Run],
    methods: Sequence[MethodEntry],
    left_out: Sequence[LeftOut],
    images: Mapping[str, Picture],
) -> None:
    """Write the first page and the table of boards.

    ``images``: the trade-off of each board by its slug.
    """
    used = {m.run.slug for board in boards if board.joint for m in board.joint.runs}
    bounds = [
        run for run in runs if is_bound(run.record) and run.record.split == "test" and run.slug not in used
    ]
    cards = [_card(board) for board in boards]
    site.page(
        "index.html.j2",
        "index.html",
        boards=cards,
        runs=sum(len(row.runs) for board in boards for row in board.rows),
        methods=methods,
        compared=sum(entry.results > 0 for entry in methods),
        pictures=_pictures(boards, cards, images),
        tuning=[_line(run) for run in runs if run.record.split != "test"],
        bounds=[_line(run) for run in bounds],
        left_out=left_out,
    )
    site.table("boards", export([_row(board) for board in boards]))


def write_guide(site: Site) -> None:
    """Write the guide to the numbers, which shows nothing of any record."""
    site.page("reading.html.j2", "reading.html", "reading", ranking=RANKING, columns=COLUMNS)


def _card(board: Board) -> Card:
    runs = [m.run for row in board.rows for m in row.runs]
    failed = sum(not run.ok for run in runs)
    first = board.first
    return Card(
        board.slug, first.protocol, first.model, len(board.rows), len(runs), failed,
        tags(board), leaders(board), joint_accuracy(board),
    )  # fmt: skip


def _pictures(boards: Sequence[Board], cards: Sequence[Card], images: Mapping[str, Picture]) -> list[Shot]:
    drawn = [board for board in boards if board.slug in images]
    ordered = sorted(drawn, key=lambda board: (-len(board.rows), board.slug))
    largest = {board.slug for board in ordered[:PICTURED]}
    return [
        Shot(card, images[card.slug].image, images[card.slug].figure.alt)
        for card in cards
        if card.slug in largest
    ]


def _line(run: Run) -> Line:
    record = run.record
    final = run.scores.final.all if run.ok else None
    printed = "–" if final is None else f"{100 * final:.1f}"
    href = f"{run.page}.html#{run.slug}"
    return Line(href, record.variant, record.protocol, record.model, record.seed, record.status, printed)


def _row(board: Board) -> dict[str, Any]:
    best = {leader.label.lower().replace(" ", "_"): leader.variant for leader in leaders(board)}
    return {
        "protocol": board.first.protocol,
        "protocol_digest": board.first.protocol_digest,
        "model": board.first.model,
        "rows": len(board.rows),
        "joint_miou_all_percent": board.joint.mean(ACCURACY) if board.joint else None,
        **best,
    }
