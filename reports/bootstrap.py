"""What may be chance: scores under resampled test images and seeds (paired bootstrap, percentile intervals).

Every row is scored on the same draws of images, and rows of as many seeds on the same draws of seeds, so
that what two rows share cancels in their difference. The draws follow from the test set alone. Counts are
integers below 2**53, which matrix products add exactly: the same scores on every machine.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reports.perimage import Floats, ImageOverlap

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
    weights = image_weights(overlap.test_set, len(overlap.intersection), draws)
    first = 0 if background else 1
    both = _product(weights, np.hstack([overlap.intersection[:, first:], overlap.union[:, first:]]))
    intersection, union = np.hsplit(both, 2)
    known = union > 0
    iou = np.divide(intersection, union, out=np.zeros_like(union), where=known)
    old = old_outputs - first
    return Draws(_mean(iou, known), _mean(iou[:, :old], known[:, :old]), _mean(iou[:, old:], known[:, old:]))


def _product(weights: Floats, counts: Floats) -> Floats:
    """Return ``weights @ counts``, exactly: in half the time where single precision holds every sum.

    No term is negative, so that a result below ``EXACT`` never passed it on the way.
    """
    if counts.max(initial=0) < EXACT:
        single = weights.astype(np.float32) @ counts.astype(np.float32)
        if single.max(initial=0) < EXACT:
            return single.astype(np.float64)
    return weights @ counts


def _mean(iou: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    count = known.sum(axis=1)
    return np.divide(iou.sum(axis=1), count, out=np.full(len(iou), np.nan), where=count > 0)


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
    low = np.quantile(ranked, _LOW, axis=0, method="lower")
    high = np.quantile(ranked, _HIGH, axis=0, method="higher")
    return tuple(RankRange(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _places(scores: Floats) -> npt.NDArray[np.int64]:
    """Return each row's place in each draw, both (draws, rows)."""
    ordered = np.sort(scores, axis=1)
    found = [np.searchsorted(line, draw, side="right") for line, draw in zip(ordered, scores, strict=True)]
    return scores.shape[1] + 1 - np.stack(found)
