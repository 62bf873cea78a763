"""A board's pages: ranking, figures, NetScore with its inputs, and every run behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from reports.boards import RANKING, Board
from reports.classes import HeatLine, heat_cell, row_names
from reports.columns import BY_KEY, text, unit
from reports.costfigures import cost_figures
from reports.exports import board_rows, class_rows, netscore_rows, run_rows
from reports.figures import (
    ACCURACY,
    COSTS,
    RATIO_OF,
    figures_of,
    mean_iou,
    step_names,
    trade_off_figure,
)
from reports.livedata import board_data, script
from reports.pages import Picture, Site, root
from reports.published import published_points
from reports.publishedpage import beside
from reports.statistics import board_counts
from reports.summary import INPUTS, facts, leaders, netscores, tags, worked
from reports.tables import csv, export
from reports.view import board_table


def write_board(site: Site, board: Board) -> Picture | None:
    """Write the page of a board and its figures; return its picture of the trade-off."""
    folder = f"boards/{board.slug}"
    path = f"{folder}/index.html"
    points = published_points(board, site.papers.lines)
    figures = (*figures_of(board, site.styles, points), *cost_figures(board, site.styles))
    pictures = [site.picture(figure, folder) for figure in figures]
    site.page(
        "board.html.j2",
        path,
        section="boards",
        board=board,
        tags=tags(board),
        facts=facts(board),
        leaders=leaders(board),
        joint=joint_accuracy(board),
        ranking=RANKING,
        mixed=len(board.hardware) > 1,
        table=board_table(board, root(path)),
        seeds_note=_seeds_note(board),
        pictures=pictures,
        not_drawn=_not_drawn(board, pictures),
        netscores=netscores(board),
        netscore_boards=list(INPUTS),
        worked=worked(board),
        heat=leader_classes(board),
        printed=beside(board, site.papers.lines),
    )
    return next((picture for picture in pictures if picture.figure.name == "trade-off"), None)


def write_board_data(site: Site, board: Board) -> None:
    """Write what lies beside a board's page: its tables, and what the page computes with."""
    folder = f"boards/{board.slug}"
    points = published_points(board, site.papers.lines)
    site.output.write(f"{folder}/data.js", script("cssbench.board", board_data(board, site.styles, points)))
    site.output.write(f"{folder}/counts.js", script("cssbench.counts", board_counts(board)))
    site.table(f"{folder}/table", export(board_rows(board)))
    site.table(f"{folder}/netscore", export(netscore_rows(board, INPUTS)))
    site.table(f"{folder}/classes", export(class_rows(board)))


def write_board_runs(site: Site, board: Board) -> None:
    """Write the table of every run behind a board, as CSV alone: there are thousands, each a JSON already."""
    rows = run_rows(board)
    site.output.write(f"boards/{board.slug}/runs.csv", csv(rows, list(rows[0])))


class ClassTable(NamedTuple):
    """IoU by class and step of one row, as the page shows it before a reader chooses another."""

    name: str
    steps: tuple[str, ...]
    lines: tuple[HeatLine, ...]


def leader_classes(board: Board) -> ClassTable | None:
    """Return the classes of the first row that finished; None without one."""
    row = next((row for row in board.rows if row.ok), None)
    if row is None:
        return None
    names = row_names(board.first)
    start = 0 if board.first.background else 1
    seen = [sum(board.first.step_sizes[: t + 1]) for t in range(len(board.first.step_sizes))]
    values = mean_iou(row, len(names))
    lines = [
        HeatLine(names[i], tuple(heat_cell(v, i <= seen[t]) for t, v in enumerate(values[i])))
        for i in range(start, len(names))
    ]
    return ClassTable(row.variant, step_names(board), tuple(lines))


def board_picture(site: Site, board: Board) -> Picture | None:
    """Return a board's picture of the trade-off, written already."""
    figure = trade_off_figure(board, site.styles)
    return None if figure is None else site.picture(figure, f"boards/{board.slug}")


def joint_accuracy(board: Board) -> str:
    """Return joint training's final mIoU, printed; empty without a joint run."""
    value = board.joint.mean(ACCURACY) if board.joint else None
    column = BY_KEY[ACCURACY]
    return "" if value is None else f"{text(column, value, unit(column, [value]))}\u202f%"


def _seeds_note(board: Board) -> str:
    single = sum(len(row.counted) == 1 for row in board.rows)
    if not single:
        return "Numbers are means ± standard deviations over seeds."
    who = "Every row rests" if single == sum(row.ok for row in board.rows) else f"{single} rows rest"
    if single == 1 and not who.startswith("Every"):
        who = "One row rests"
    return f"{who} on a single seed: small differences there may be chance."


def _not_drawn(board: Board, pictures: Iterable[Picture]) -> str:
    """Return which costs have no figure, and why."""
    drawn = {picture.figure.name for picture in pictures}
    missing = [BY_KEY[key] for key in COSTS if key not in RATIO_OF and key.replace("_", "-") not in drawn]
    apart = ", ".join(c.full_name.lower() for c in missing if c not in board.columns)
    unknown = ", ".join(f"{c.full_name.lower()} ({c.unknown})" for c in missing if c in board.columns)
    parts = [f"{apart}, as it is not comparable across hardware" if apart else "", unknown]
    return "; ".join(part for part in parts if part)
