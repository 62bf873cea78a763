"""Scores from confusion matrices, and NetScore. numpy only: any record is re-scored without a GPU.

A confusion matrix has a row for index 0 and for every class of the dataset in learning order, and a
column for each output of the model after the step, so rows at and beyond the number of columns are
classes not seen yet. IoU and means of it are fractions; None is a value that is not defined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from benchmark.record import Compute, Parameters

Board = Literal["deploy", "clora", "train"]
BOARDS: tuple[Board, ...] = ("deploy", "clora", "train")
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Convention:
    """What published code disagrees on; the defaults are this benchmark's.

    ``background``: index 0 counts as a class of step 0 (only ever where the dataset has one).
    ``future``: pixels of classes not seen yet are ``ignored`` (MiB, SDR) or are ``background`` (PLOP).
    """

    background: bool = True
    future: Literal["ignored", "background"] = "ignored"


DEFAULT = Convention()


class Overlap(NamedTuple):
    """Pixels by output, both (..., outputs). Sums over images are the overlap of all the images."""

    intersection: Counts
    union: Counts


@dataclass(frozen=True)
class StepScores:
    """After one step: ``iou`` by output, index 0 first, and mIoU of old, new and all classes seen."""

    iou: tuple[float | None, ...]
    old: float | None
    new: float | None
    all: float | None


@dataclass(frozen=True)
class RunScores:
    """One run. ``average`` is the mean over the steps of mIoU (all); see :func:`forgetting`."""

    steps: tuple[StepScores, ...]
    forgetting: float | None
    average: float | None

    @property
    def final(self) -> StepScores:
        """Scores after the last step."""
        return self.steps[-1]


class NetScoreInputs(NamedTuple):
    """What NetScore divides by; None is unknown."""

    params_millions: float | None
    macs_billions: float | None


def overlap(confusion: npt.ArrayLike, future: Literal["ignored", "background"] = "ignored") -> Overlap:
    """Return intersection and union by output of matrices (..., rows, outputs).

    Raises ValueError where there are fewer rows than outputs.
    """
    matrix = np.asarray(confusion, dtype=np.int64)
    if matrix.ndim < 2 or matrix.shape[-2] < matrix.shape[-1]:
        raise ValueError(f"a confusion matrix needs a row for each output; got shape {matrix.shape}")
    outputs = matrix.shape[-1]
    seen = matrix[..., :outputs, :].copy()
    if future == "background":
        seen[..., 0, :] += matrix[..., outputs:, :].sum(axis=-2)
    intersection = np.diagonal(seen, axis1=-2, axis2=-1)
    return Overlap(intersection, seen.sum(axis=-1) + seen.sum(axis=-2) - intersection)


def iou_by_output(confusion: npt.ArrayLike, convention: Convention = DEFAULT) -> tuple[float | None, ...]:
    """Return IoU of index 0 and of each class seen; None for one without pixels that is never predicted."""
    intersection, union = overlap(confusion, convention.future)
    both = zip(intersection.tolist(), union.tolist(), strict=True)
    return tuple(i / u if u else None for i, u in both)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are defined; None where there is none."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def score(
    confusions: Sequence[npt.ArrayLike],
    classes: Sequence[Sequence[int]],
    background: bool,
    convention: Convention = DEFAULT,
) -> RunScores:
    """Score a run, or as many of its steps as it finished.

    ``confusions``: one matrix after each step. ``classes``: the rows each step adds, index 0 in none.
    ``background``: whether the dataset has a background class.
    """
    base = (0,) if background and convention.background else ()
    learnt = [(*base, *classes[0]), *map(tuple, classes[1:])] if classes else []
    steps = tuple(
        _step_scores(iou_by_output(matrix, convention), learnt[: t + 1])
        for t, matrix in enumerate(confusions)
    )
    average = mean(step.all for step in steps) if all(s.all is not None for s in steps) else None
    return RunScores(steps, forgetting([step.iou for step in steps], learnt), average)


def _step_scores(iou: tuple[float | None, ...], learnt: Sequence[Sequence[int]]) -> StepScores:
    old = [iou[row] for row in learnt[0]]
    new = [iou[row] for rows in learnt[1:] for row in rows]
    return StepScores(iou, old=mean(old), new=mean(new), all=mean(old + new))


def forgetting(iou: Sequence[Sequence[float | None]], learnt: Sequence[Sequence[int]]) -> float | None:
    """Return how much IoU was lost: mean over classes of the best earlier IoU minus the final one.

    ``iou`` (steps, outputs so far); ``learnt`` the rows each step adds. Only classes learnt before the
    last step count, and only steps since they were learnt. Negative where later steps helped. None
    for a single step. After Chaudhry et al., Riemannian Walk, ECCV 2018.
    """
    if not iou:
        return None
    last = len(iou) - 1
    losses = [_loss([step[row] for step in iou[t:]]) for t in range(last) for row in learnt[t]]
    return mean(losses)


def _loss(course: Sequence[float | None]) -> float | None:
    earlier, final = [value for value in course[:-1] if value is not None], course[-1]
    return max(earlier) - final if earlier and final is not None else None


def forget_score(miou: float | None, joint_miou: float | None) -> float | None:
    """Return final mIoU (all) minus joint training's, after CLoRA (Muralidhara et al. 2025)."""
    return miou - joint_miou if miou is not None and joint_miou is not None else None


def netscore(
    miou_percent: float | None,
    params_millions: float | None,
    macs_billions: float | None,
    alpha: float = 2,
    beta: float = 0.5,
    gamma: float = 0.5,
) -> float | None:
    """Return 20 log10(a^alpha / (p^beta m^gamma)) in decibels (Wong 2018).

    None where an input is unknown or not positive: a model that gets nothing right has no score.
    """
    inputs = (miou_percent, params_millions, macs_billions)
    if any(value is None or not value > 0 for value in inputs):
        return None
    a, p, m = (math.log10(value) for value in inputs if value is not None)
    return 20 * (alpha * a - beta * p - gamma * m)


def netscore_inputs(
    board: Board, parameters: Parameters, compute: Compute, batch_size: int
) -> NetScoreInputs:
    """Return p and m of a board, from the counts of a run's last step.

    ``deploy``: deployed parameters, inference MACs. ``clora``: trainable parameters, forward MACs of
    one training image. ``train``: trainable parameters, MACs of a whole training iteration an image
    (two FLOPs are one MAC).
    """
    params = parameters.deployed if board == "deploy" else parameters.trainable
    macs: dict[Board, float | None] = {
        "deploy": compute.inference_macs,
        "clora": compute.forward_macs,
        "train": None if compute.train_flops is None else compute.train_flops / 2 / batch_size,
    }
    value = macs[board]
    return NetScoreInputs(params / 1e6, None if value is None else value / 1e9)
