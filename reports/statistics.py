"""Exact sufficient statistics of confusion matrices: a browser scores any convention from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmark.metrics import overlap
from benchmark.record import Record, StepRecord
from reports.boards import Board
from reports.compact import confusions
from reports.parallel import chunks

EXACT = 2**53 - 1
"""The largest integer that every smaller one is told apart from in a browser's numbers."""
TOGETHER = 50
"""Runs whose matrices are counted at once."""


class StepCounts(NamedTuple):
    """Pixels by output after one step.

    ``future``: those of classes not seen yet that were called each output; empty where every class is seen.
    Where they count as background, output 0 gains ``future[0]`` right ones and its union ``sum(future)``,
    and the union of every other output its own ``future``.
    """

    intersection: tuple[int, ...]
    union: tuple[int, ...]
    future: tuple[int, ...]


def step_counts(step: StepRecord) -> StepCounts:
    """Return the statistics of one step's matrix."""
    (counts,) = _counts([step.confusion])
    return counts


def _counts(same_step: Sequence[npt.ArrayLike]) -> list[StepCounts]:
    """Return the statistics of several runs' matrices after the same step."""
    matrices = np.stack([np.asarray(confusion, dtype=np.int64) for confusion in same_step])
    both = overlap(matrices)
    future = matrices[:, matrices.shape[2] :].sum(axis=1)
    lists = zip(both.intersection.tolist(), both.union.tolist(), future.tolist(), strict=True)
    return [StepCounts(tuple(i), tuple(u), tuple(f) if any(f) else ()) for i, u, f in lists]


def board_counts(board: Board) -> dict[str, Any]:
    """Return the statistics of each row, joint training first: by seed, then by step; null if not exact."""
    joint = [[_joint(m.run.record, board.first) for m in board.joint.counted]] if board.joint else []
    records = [m.run.record for row in board.rows for m in row.counted]
    counts = iter([each for some in chunks(records, TOGETHER) for each in _of_runs(some)])
    return {"rows": [*joint, *([next(counts) for _ in row.counted] for row in board.rows)]}


def _of_runs(records: Sequence[Record]) -> list[list[StepCounts] | None]:
    """Return the statistics of finished runs of one protocol by step; None for those that are not exact."""
    by_step = map(_counts, zip(*map(confusions, records), strict=True))
    return [_exact(list(counts)) for counts in zip(*by_step, strict=True)]


def _joint(record: Record, board: Record) -> list[StepCounts] | None:
    """Return a joint run's counts, its classes in the board's order; in its own where these are others."""
    counts = step_counts(record.steps[-1])
    names = record.classes if sorted(record.classes) != sorted(board.classes) else board.classes
    at = [0, *(1 + record.classes.index(name) for name in names)]
    ordered = [tuple(values[i] for i in at) for values in (counts.intersection, counts.union)]
    return _exact([StepCounts(ordered[0], ordered[1], ())])


def _exact(counts: list[StepCounts]) -> list[StepCounts] | None:
    largest = max((sum(step.union) + sum(step.future) for step in counts), default=0)
    return counts if largest <= EXACT else None
