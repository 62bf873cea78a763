"""One test set scored by several processes: each image by one of them, the counts exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate.utils import gather_object

from benchmark.evaluate import ImageCounts, Scores


def own_share(images: int, process: int, processes: int) -> range:
    """Return the indices of the images that a process scores: every one is some process's, and no other's."""
    return range(process, images, processes)


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """Return the scores of all parts as one process would have counted them.

    Raises ValueError for an image that two parts counted.
    """
    counted = np.concatenate([np.unique(part.images.image) for part in parts])
    once, times = np.unique(counted, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"image {once[times > 1][0]} was scored by {times.max()} processes; expected one")
    cells = np.concatenate([np.stack(part.images) for part in parts], axis=1)
    order = np.lexsort(cells[2::-1])
    return Scores(np.sum([part.matrix for part in parts], axis=0), ImageCounts(*cells[:, order]))


def gather_scores(own: Scores) -> Scores:
    """Return the scores of all processes, in each of them; alone, a process's own."""
    return merge_scores(gather_object([own]))
