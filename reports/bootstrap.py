"""What may be chance: scores under resampled test images and seeds (paired bootstrap, percentile intervals).

Every row is scored on the same draws of images, and rows of as many seeds on the same draws of seeds, so
that what two rows share cancels in their difference. The draws follow from the test set alone. Counts are
integers below 2**53, which matrix products add exactly: the same scores on every machine.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reports.perimage import Floats, ImageOverlap

Bools = npt.NDArray[np.bool_]
DRAWS = 1000
LEVEL = 0.95
EXACT = 2.0**24
"""Integers below it are told apart in single precision."""
_LOW, _HIGH = 0.025, 0.975


class Draws(NamedTuple):
    """mIoU of all, old and new classes in each draw (draws,), as fractions; nan where not defined."""

    all: Floats
    old: Floats
    new: Floats


class Interval(NamedTuple):
    """Percentiles of the draws that leave ``LEVEL`` of them between."""

    low: float
    high: float


class RankRange(NamedTuple):
    """The places that ``LEVEL`` of the draws lie between, both included; 1 is the best."""

    low: int
    high: int


@lru_cache(maxsize=4)
def image_weights(test_set: str, images: int, draws: int = DRAWS) -> Floats:
    """Return how often each image is drawn (draws, images): as many as there are, with replacement."""
    picked = _generator(test_set, 0).integers(0, images, (draws, images))
    cells = picked + images * np.arange(draws)[:, None]
    return np.bincount(cells.ravel(), minlength=draws * images).reshape(draws, images).astype(np.float64)


@lru_cache(maxsize=4)
def _single_weights(test_set: str, images: int, draws: int) -> npt.NDArray[np.float32]:
    return image_weights(test_set, images, draws).astype(np.float32)


@lru_cache(maxsize=64)
def seed_picks(test_set: str, seeds: int, draws: int = DRAWS) -> npt.NDArray[np.int64]:
    """Return which of a row's ``seeds`` runs are drawn (draws, seeds), with replacement."""
    return _generator(test_set, seeds).integers(0, seeds, (draws, seeds))


def _generator(test_set: str, stream: int) -> np.random.Generator:
    return np.random.default_rng([int(test_set[:16], 16), stream])


def resampled_scores(overlap: ImageOverlap, old_outputs: int, background: bool, draws: int = DRAWS) -> Draws:
    """Score one run on each draw of its test images, as :func:`benchmark.metrics.score` scores it on all.

    ``old_outputs``: outputs of the model after step 0, index 0 among them. A class that no drawn image
    has and that is never predicted in one is left out of that draw's mean.
    """
    iou, known = _iou([overlap.scored(background)], draws)
    old = old_outputs - (0 if background else 1)
    parts = (slice(None), slice(None, old), slice(old, None))
    return Draws(*(_mean(iou[:, 0, part], known[:, 0, part]) for part in parts))


def resampled_accuracy(overlaps: Sequence[ImageOverlap], draws: int = DRAWS) -> list[Floats]:
    """Return the mIoU over all columns of each run in each draw: ``all`` of :func:`resampled_scores`.

    Neighbours of one test set and shape are multiplied at once. For columns see ``ImageOverlap.scored``.
    """
    groups = groupby(overlaps, key=lambda overlap: (overlap.test_set, overlap.intersection.shape))
    means = (_mean(*_iou(list(alike), draws)) for _, alike in groups)
    return [run for mean in means for run in np.ascontiguousarray(mean.T)]


def _iou(overlaps: Sequence[ImageOverlap], draws: int) -> tuple[Floats, Bools]:
    """Return the IoU of runs of one test set and shape, and where it is defined: (draws, runs, columns)."""
    counts = [*(each.intersection for each in overlaps), *(each.union for each in overlaps)]
    sums = _resampled(overlaps[0].test_set, counts, draws)
    intersection, union = np.moveaxis(sums.reshape(draws, 2, len(overlaps), counts[0].shape[1]), 1, 0)
    known = union > 0
    with np.errstate(invalid="ignore"):
        iou = np.divide(intersection, union, dtype=np.float64)
    if not known.all():
        iou[~known] = 0
    return iou, known


def _resampled(test_set: str, counts: Sequence[Floats], draws: int) -> npt.NDArray[np.floating[Any]]:
    """Return each draw's sums of ``counts``, side by side: exactly, in single precision where it holds all.

    No term is negative, so that a result below ``EXACT`` never passed it on the way.
    """
    images = len(counts[0])
    single = np.hstack(counts, dtype=np.float32)
    if single.max(initial=0) < EXACT:
        sums = _single_weights(test_set, images, draws) @ single
        if sums.max(initial=0) < EXACT:
            return sums
    return image_weights(test_set, images, draws) @ np.hstack(counts)


def _mean(iou: Floats, known: Bools) -> Floats:
    """Return the mean over the last axis, of what is ``known``; nan where nothing is."""
    total = iou.sum(axis=-1)
    if known.size and known.all():
        return np.asarray(total / known.shape[-1])
    count = known.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def over_seeds(runs: Sequence[Floats], test_set: str) -> Floats:
    """Return a row's mean in each draw (draws,): its runs' values there, the runs themselves resampled."""
    values = np.stack(runs)
    picks = seed_picks(test_set, len(runs), values.shape[1])
    return np.asarray(values[picks, np.arange(values.shape[1])[:, None]].mean(axis=1))


def interval(values: Floats) -> Interval | None:
    """Return the percentile interval of draws, those without a value left out; None where all are."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    low, high = np.quantile(known, [_LOW, _HIGH])
    return Interval(float(low), float(high))


def difference(first: Floats, second: Floats) -> Interval | None:
    """Return the interval of ``first`` minus ``second``, draw by draw."""
    return interval(first - second)


def rank_ranges(scores: Sequence[Floats]) -> tuple[RankRange, ...]:
    """Return the range of each row's place by its scores in each draw, the largest first.

    Equal scores share a place; a row without a score in a draw comes after all that have one.
    """
    if not scores:
        return ()
    ranked = _places(np.nan_to_num(np.stack(scores, axis=1), nan=-np.inf))
    ordered, last = np.sort(ranked, axis=0), len(ranked) - 1
    low, high = ordered[floor(last * _LOW)], ordered[ceil(last * _HIGH)]
    return tuple(RankRange(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _places(scores: Floats) -> npt.NDArray[np.int32]:
    """Return each row's place in each draw, both (draws, rows)."""
    draws, rows = scores.shape
    order = np.argsort(scores, axis=1) + rows * np.arange(draws)[:, None]
    ordered = scores.ravel()[order]
    places = np.tile(np.arange(rows, 0, -1, dtype=np.int32), (draws, 1))
    places[:, :-1][ordered[:, 1:] == ordered[:, :-1]] = 0  # shared with the next
    found = np.empty(scores.size, dtype=np.int32)
    found[order] = np.maximum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    return found.reshape(draws, rows)
