"""IoU by class and step as pages show it, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmark.metrics import StepScores, mean
from benchmark.record import Record
from reports.compact import confusions
from reports.fields import Head, StepLine, run_heads
from reports.variants import Variant, whole_mean

_MISTAKES = 12
_SCORES = ("all", "old", "new")


class HeatCell(NamedTuple):
    """IoU in percent, printed, and its shade from 0 to 10; empty where not seen."""

    text: str
    shade: int | None
    note: str = ""


class HeatLine(NamedTuple):
    """One class: its cells by step, one run after the other where there are several."""

    name: str
    cells: tuple[HeatCell, ...]


class ClassTable(NamedTuple):
    """Scores by step of the mean over runs, where there are several, and of each run.

    ``heads``: over the columns, in their order; ``scores``: mIoU; ``lines``: a line a class.
    """

    heads: tuple[Head, ...]
    scores: tuple[StepLine, ...]
    lines: tuple[HeatLine, ...]


class Mistake(NamedTuple):
    """What share of a class's test pixels was called something else after the last step.

    ``percent``: mean over runs; ``between``: the least and the largest, empty for one run.
    """

    truth: str
    guess: str
    percent: str
    between: str = ""


def row_names(record: Record) -> tuple[str, ...]:
    """Return the names of a confusion matrix's rows."""
    return ("background" if record.background else "unlabelled", *record.classes)


def class_table(variant: Variant) -> ClassTable:
    """Return IoU by class and step; index 0 only where the dataset has a background class."""
    runs = [run for run in variant.runs if run.record.steps]
    groups = [run.scores.steps for run in runs]
    heads = run_heads(variant)
    if len(variant.counted) > 1:
        counted = [run.scores.steps for run in variant.counted]
        groups.insert(0, tuple(_mean(steps) for steps in zip(*counted, strict=True)))
        heads.insert(0, Head(f"mean of {len(counted)} seeds", len(groups[0])))
    columns = [step for steps in groups for step in steps]
    names = row_names(variant.first)
    start = 0 if variant.first.background else 1
    return ClassTable(
        tuple(heads),
        tuple(StepLine(f"mIoU {k}", tuple(_printed(getattr(s, k)) for s in columns)) for k in _SCORES),
        tuple(
            HeatLine(names[row], tuple([_heat(step.iou, row) for step in columns]))
            for row in range(start, len(names))
        ),
    )


def _mean(steps: Sequence[StepScores]) -> StepScores:
    """Return the mean of several runs after one step, a class's over the runs that have an IoU of it."""
    iou = tuple(map(mean, zip(*(step.iou for step in steps), strict=True)))
    return StepScores(iou, **{key: whole_mean([getattr(step, key) for step in steps]) for key in _SCORES})


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _heat(iou: Sequence[float | None], row: int) -> HeatCell:
    if row >= len(iou):
        return _NOT_LEARNT
    value = iou[row]
    return _NEVER_MET if value is None else _shaded(100 * value)


_NOT_LEARNT = HeatCell("", None, "not learnt yet")
_NEVER_MET = HeatCell("–", None, "no test pixel and never predicted")


def _shaded(percent: float) -> HeatCell:
    return HeatCell(f"{percent:.1f}", round(percent / 10))


def heat_cell(percent: float | None, learnt: bool) -> HeatCell:
    """Return a cell of IoU: printed in percent and shaded, or empty with the reason."""
    if not learnt:
        return _NOT_LEARNT
    return _NEVER_MET if percent is None else _shaded(percent)


def mistakes(variant: Variant) -> tuple[Mistake, ...]:
    """Return the largest shares of a seen class's pixels given to another output after the last step.

    Means over the runs that :attr:`Variant.telling` names.
    """
    if not variant.telling:
        return ()
    names = row_names(variant.first)
    matrices = np.stack([np.asarray(confusions(run.record)[-1], dtype=np.int64) for run in variant.telling])
    seen = matrices[:, : matrices.shape[2]]
    shares = 100 * seen / np.maximum(seen.sum(axis=2, keepdims=True), 1)
    wrong = shares.mean(axis=0)
    np.fill_diagonal(wrong, 0.0)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    flat = shares.reshape(len(shares), -1)[:, largest]
    ends = zip(flat.min(axis=0).tolist(), flat.max(axis=0).tolist(), strict=True)
    found = zip(largest.tolist(), wrong.ravel()[largest].tolist(), ends, strict=True)
    pairs = ((divmod(at, wrong.shape[1]), share, low, high) for at, share, (low, high) in found)
    many = len(shares) > 1
    return tuple(
        Mistake(names[i], names[j], f"{share:.1f}", f"{low:.1f} to {high:.1f}" if many else "")
        for (i, j), share, low, high in pairs
        if share > 0
    )
