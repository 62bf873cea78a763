"""Exact sufficient statistics of confusion matrices: a browser scores any convention from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmark.metrics import overlap
from benchmark.record import StepRecord
from reports.boards import Board, Row

EXACT = 2**53 - 1
"""The largest integer that every smaller one is told apart from in a browser's numbers."""


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
    matrix = np.asarray(step.confusion, dtype=np.int64)
    both = overlap(matrix)
    unseen = matrix[matrix.shape[1] :]
    future = unseen.sum(axis=0).tolist() if unseen.any() else ()
    return StepCounts(tuple(both.intersection.tolist()), tuple(both.union.tolist()), tuple(future))


def board_counts(board: Board) -> dict[str, Any]:
    """Return the statistics of each row, joint training first: by seed, then by step; null if not exact."""
    rows = [*([board.joint] if board.joint else []), *board.rows]
    return {"rows": [_row(row) for row in rows]}


def _row(row: Row) -> list[Any]:
    return [_run(measured.run.record.steps) for measured in row.counted]


def _run(steps: Sequence[StepRecord]) -> list[StepCounts] | None:
    counts = [step_counts(step) for step in steps]
    largest = max((sum(step.union) + sum(step.future) for step in counts), default=0)
    return counts if largest <= EXACT else None
