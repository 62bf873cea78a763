"""Joint training scored as a board scores: its classes are old and new as in the board's own order."""

from __future__ import annotations

from benchmark.metrics import mean
from benchmark.record import Record
from reports.runs import Measures, Run

SPLIT = ("miou_old_percent", "miou_new_percent")


def as_on_board(run: Run, measures: Measures, board: Record) -> Measures:
    """Return ``measures`` of a finished joint run with mIoU of the classes that are old and new on a board.

    ``board``: any of the board's records. A joint run's only step holds every class, so that by its own
    order all are old. Both are unknown where the two name different classes.
    """
    if not run.ok:
        return measures
    if sorted(run.record.classes) != sorted(board.classes) or len(set(board.classes)) < len(board.classes):
        return {**measures, **dict.fromkeys(SPLIT)}
    background, *learnt = run.scores.final.iou
    iou = dict(zip(run.record.classes, learnt, strict=True))
    base = board.step_sizes[0]
    old = [*([background] if board.background else []), *(iou[name] for name in board.classes[:base])]
    fractions = mean(old), mean(iou[name] for name in board.classes[base:])
    percent = [None if value is None else 100 * value for value in fractions]
    return {**measures, **dict(zip(SPLIT, percent, strict=True))}
