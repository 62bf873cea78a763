"""What stands at the top: the facts of a board, its leaders, and what its NetScores are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmark.metrics import Board as NetScoreBoard
from benchmark.metrics import netscore
from reports.boards import RANKING, REFERENCE, Board, Row
from reports.columns import BY_KEY, number, text, unit
from reports.fields import Field
from reports.figures import RATIO_OF
from reports.known import is_foreign
from reports.view import CellView, RowKind, row_id

LEADERS = (f"netscore_{RANKING}", "miou_all_percent", "forgetting_points", "iteration_ratio")
INPUTS: dict[NetScoreBoard, tuple[str, str]] = {
    "train": ("parameters_trainable", "train_macs_per_image"),
    "clora": ("parameters_trainable", "forward_macs"),
    "deploy": ("parameters_deployed", "inference_macs"),
}
"""Columns of p and m, in the order in which the boards are shown."""
_SAYS = {
    f"netscore_{RANKING}": f"Best NetScore {RANKING}",
    "miou_all_percent": "Most accurate",
    "forgetting_points": "Forgets least",
    "iteration_ratio": f"Fastest, {REFERENCE} apart",
}


class Tag(NamedTuple):
    """A short property of a board."""

    text: str
    title: str = ""


class Leader(NamedTuple):
    """The best row by one measure."""

    label: str
    variant: str
    value: str
    href: str


class NetScoreRow(NamedTuple):
    """A row's accuracy, and p, m, score and rank on each board; ``anchor``: its line in the ranking."""

    name: str
    anchor: str
    kind: RowKind
    cells: tuple[CellView, ...]


class Worked(NamedTuple):
    """The formula with the numbers of one run."""

    variant: str
    seed: int
    a: str
    p: str
    m: str
    score: str


def tags(board: Board) -> tuple[Tag, ...]:
    """Return what a reader must know before comparing these numbers with anything."""
    record = board.first
    found = [Tag(record.setting)]
    if record.dataset == "shapes":
        found.append(Tag("synthetic images", "scenes rendered from a seed, not photographs"))
    if record.model.endswith("-cpu"):
        found.append(Tag("CPU-size model", "a small model at a small image size, not a published setting"))
    if is_foreign(record):
        found.append(Tag("protocol not of this project", "no protocol here has the digest it was run with"))
    random = record.pretrained == "random"
    found.append(Tag("random weights" if random else f"pretrained: {record.pretrained}"))
    if len(board.hardware) > 1:
        found.append(Tag("mixed hardware", ", ".join(board.hardware)))
    return tuple(found)


def facts(board: Board) -> tuple[Field, ...]:
    """Return what the protocol fixed."""
    r = board.first
    scored = (
        "counts as a class of step 0" if r.background else "none: unlabelled pixels are ignored in scores"
    )
    return (
        Field("Dataset", f"{r.dataset}, {len(r.classes)} classes"),
        Field("Steps", " + ".join(map(str, r.step_sizes))),
        Field("Background", scored),
        Field("Training", f"{r.epochs} epochs a step, batch {r.batch_size}, {r.image_size} pixels"),
        Field("Protocol", f"version {r.protocol_version}, digest {r.protocol_digest[:12]}"),
        Field("Joint protocol", r.joint_protocol or "none named", r.joint_protocol is None),
    )


def leaders(board: Board) -> tuple[Leader, ...]:
    """Return the best finished row by each of the headline measures."""
    return tuple(leader for key in LEADERS if (leader := _leader(board, key)))


def _leader(board: Board, key: str) -> Leader | None:
    column = BY_KEY[key]
    apart = REFERENCE if key in RATIO_OF else None  # whose ratio is 1 by definition
    rows = [row for row in board.rows if row.method != apart]
    known = [(value, row) for row in rows if (value := row.mean(key)) is not None]
    if not known:
        return None
    sign = -1 if column.better == "higher" else 1
    value, row = min(known, key=lambda entry: sign * entry[0])
    scale = unit(column, [value])
    joiner = "" if scale.name == "×" else "\u202f"
    printed = f"{text(column, value, scale)}{joiner}{scale.name}"
    suffix = f" {REFERENCE}" if key in RATIO_OF else ""
    return Leader(_SAYS[key], row.variant, f"{printed}{suffix}", f"index.html#{row_id(row, board)}")


def netscores(board: Board) -> tuple[NetScoreRow, ...]:
    """Return each row's inputs, score and rank on the three boards, joint training first."""
    rows = [*([board.joint] if board.joint else []), *(row for row in board.rows if row.ok)]
    return tuple(
        NetScoreRow(
            "joint training" if row is board.joint else row.variant,
            row_id(row, board),
            "bound" if row is board.joint else "ranked",
            tuple(_netscore_cells(row)),
        )
        for row in rows
    )


def _netscore_cells(row: Row) -> Sequence[CellView]:
    accuracy = row.mean("miou_all_percent")
    cells = [_plain(accuracy, 1)]
    for board, (params, macs) in INPUTS.items():
        p, m = row.mean(params), row.mean(macs)
        rank = row.ranks.get(board)
        cells.append(_plain(None if p is None else p / 1e6))
        cells.append(_plain(None if m is None else m / 1e9))
        cells.append(_plain(row.mean(f"netscore_{board}"), 2)._replace(best=rank == 1))
        cells.append(_plain(rank, 0) if rank else CellView("", "", note="joint training is not ranked"))
    return cells


def _plain(value: float | None, decimals: int | None = None) -> CellView:
    if value is None:
        return CellView("", "–", note="unknown")
    return CellView("", number(value, decimals), value=f"{value:.10g}")


def worked(board: Board) -> Worked | None:
    """Return the ranking's formula with the numbers of the first row's first run."""
    row = next((row for row in board.rows if row.ranks.get(RANKING) == 1), None)
    if row is None:
        return None
    run = row.counted[0].run
    a, (p, m) = run.measures["miou_all_percent"], row.counted[0].inputs(RANKING)
    score = netscore(a, p, m)
    if a is None or p is None or m is None or score is None:
        return None
    return Worked(row.variant, run.record.seed, number(a, 2), f"{p:.5g}", f"{m:.5g}", number(score, 2))
