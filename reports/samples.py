"""One run's scores on each draw of its test images: all that two variants are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.metrics import BOARDS, netscore
from reports.bootstrap import DRAWS, image_weights
from reports.perimage import Floats, ImageOverlap, read_overlap
from reports.runs import Run, inputs


class Samples(NamedTuple):
    """``scores`` (draws,) by the key of their column, ``iou`` in percent (draws, outputs); nan: not defined.

    ``test_set`` tells whether another run was scored on the same images: only then are draws paired.
    """

    test_set: str
    scores: dict[str, Floats]
    iou: Floats


def samples(run: Run, file: Path, draws: int = DRAWS) -> Samples:
    """Score a finished run, whose record lies at ``file``, on each draw of its test images.

    As :func:`benchmark.metrics.score` scores it on all of them. Raises RecordError where its counts by
    image are missing or do not fit it.
    """
    sizes = run.record.step_sizes
    first, old, earlier = 0 if run.record.background else 1, 1 + sizes[0], 1 + sum(sizes[:-1])
    overlap = read_overlap(run.record, file)
    iou = iou_in_draws(overlap, draws)
    lost = (_best_before(run, file, draws) - iou)[:, first:earlier]
    scores = {
        "miou_all_percent": _mean(iou[:, first:]),
        "miou_old_percent": _mean(iou[:, first:old]),
        "miou_new_percent": _mean(iou[:, old:]),
        "forgetting_points": _mean(lost),
    }
    return Samples(overlap.test_set, scores | _netscores(run, scores["miou_all_percent"]), iou)


def iou_in_draws(overlap: ImageOverlap, draws: int = DRAWS) -> Floats:
    """Return IoU in percent by output in each draw (draws, outputs); nan for a class no drawn image has."""
    weights = image_weights(overlap.test_set, len(overlap.intersection), draws)
    union = weights @ overlap.union
    unknown = np.full_like(union, np.nan)
    return 100 * np.divide(weights @ overlap.intersection, union, out=unknown, where=union > 0)


def _best_before(run: Run, file: Path, draws: int) -> Floats:
    """Return the best IoU after an earlier step than the last (draws, outputs); nan where there is none."""
    best = np.full((draws, 1 + sum(run.record.step_sizes)), np.nan)
    for step in range(len(run.record.step_sizes) - 1):
        iou = iou_in_draws(read_overlap(run.record, file, step), draws)
        best[:, : iou.shape[1]] = np.fmax(best[:, : iou.shape[1]], iou)
    return best


def _mean(values: Floats) -> Floats:
    """Return the mean over classes that are defined (draws,); nan where none is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _netscores(run: Run, accuracy: Floats) -> dict[str, Floats]:
    """Return NetScore in each draw: only accuracy moves, parameters and MACs are the run's; nan for none."""
    known = np.where(accuracy > 0, accuracy, np.nan)
    costs = {f"netscore_{board}": netscore(1.0, *inputs(run.record, board)) for board in BOARDS}
    return {key: 40 * np.log10(known) + cost for key, cost in costs.items() if cost is not None}
