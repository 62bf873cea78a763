"""Statistics of features by class, and the terms of SDR that are made of them.

All functions take encoder features (B, D, h, w) and labels (B, H, W) of any size and integer type, which
are brought to (h, w) by ``nearest_labels``. A label that is 255, negative or not below the number of
classes belongs to no class. Sums run in float32 at least, gradients reach the features only, and no shape
or branch depends on the data. A sum over the pixels of a class is one scatter over the last axis: on a
CPU each row is added up by one thread in the order of its pixels, so that its bits repeat, and its cost
does not grow with the number of classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.pixelwise import IGNORE, at_least_float32, masked_mean, nearest_labels


class ClassSums(NamedTuple):
    """Sums of features by class: ``sums`` (K, D), and ``counts`` (K,) int64, pixels that went into them."""

    sums: Tensor
    counts: Tensor


def class_sums(features: Tensor, labels: Tensor, num_classes: int) -> ClassSums:
    """Return the sum of the features of each class 0 .. ``num_classes`` - 1 and the number of its pixels."""
    return _sums_at(
        at_least_float32(features).flatten(2), _feature_index(features, labels, num_classes), num_classes
    )


def prototype_matching(features: Tensor, pseudo_labels: Tensor, prototypes: Tensor) -> Tensor:
    """Return how far the old classes' mean features in the batch are from their stored prototypes.

    SDR (Michieli & Zanuttigh, CVPR 2021), prototypes matching: mean over channels of the squared
    difference, mean over the classes 1 .. K - 1 present; background, 255 and labels from K on take no
    part. ``prototypes`` (K, D), row k the class k, row 0 unused.
    """
    found = class_sums(features, pseudo_labels, prototypes.shape[0])
    error = (_means(found) - prototypes.detach()).square().mean(1)
    old = torch.arange(prototypes.shape[0], device=error.device) > 0
    return masked_mean(error, old & (found.counts > 0))


def attraction(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Return how far features are from the prototypes of their classes.

    SDR (Michieli & Zanuttigh, CVPR 2021), contrastive learning, attractive term: mean over the channels
    and pixels of a class of the squared difference, then mean over the classes 0 .. K - 1 present.
    ``prototypes`` (K, D).
    """
    classes = prototypes.shape[0]
    values = at_least_float32(features).flatten(2)
    batch, channels, _ = values.shape
    index = _feature_index(features, labels, classes)
    rows = F.pad(prototypes.detach().to(values.dtype).t(), (0, 1)).expand(batch, -1, -1)
    own = rows.gather(2, index.unsqueeze(1).expand_as(values))
    error = F.mse_loss(values, own, reduction="none").sum(1, keepdim=True) / channels
    found = _sums_at(error, index, classes)
    return masked_mean(_means(found).squeeze(1), found.counts > 0)


def repulsion(features: Tensor, labels: Tensor, num_classes: int = 256) -> Tensor:
    """Return the mean inverse Euclidean distance between the mean features of different classes.

    SDR (Michieli & Zanuttigh, CVPR 2021), contrastive learning, repulsive term, over all pairs of the
    classes present (background too). Pairs of identical means, which have no inverse distance and no
    direction to part in, are left out. 0 with fewer than two classes. ``pdist`` takes differences;
    ``cdist`` would round.
    """
    found = class_sums(features, labels, num_classes)
    distances = F.pdist(_means(found))
    first, second = torch.triu_indices(num_classes, num_classes, 1, device=distances.device)
    present = found.counts > 0
    apart = present[first] & present[second] & (distances > _tiny(distances.dtype))
    return masked_mean(torch.where(apart, distances, 1.0).reciprocal(), apart)


def sparsity(features: Tensor, labels: Tensor, num_classes: int = 256) -> Tensor:
    """Return how evenly pixels spread their activation over channels (few high ones give a small value).

    SDR (Michieli & Zanuttigh, CVPR 2021), features sparsification: features are divided by the largest
    activation of their class in the batch, through which the gradient flows; per pixel sum_j exp(v_j) /
    sum_j v_j; mean over the pixels of a class (background too) whose maximum and sum are positive, that
    is, above what rounding leaves of zero.
    """
    values = at_least_float32(features).flatten(2)
    index = _feature_index(features, labels, num_classes)
    peak = _class_maxima(values, index, num_classes)[index]
    usable = (index < num_classes) & (peak > _tiny(peak.dtype))
    scale = torch.where(usable, torch.where(usable, peak, 1.0).reciprocal(), 0.0)
    total = values.sum(1) * scale
    usable = usable & (total > torch.finfo(total.dtype).eps)
    spread = (values * scale.unsqueeze(1)).exp_().sum(1)
    return masked_mean(spread / torch.where(usable, total, 1.0), usable)


def _class_maxima(values: Tensor, index: Tensor, num_classes: int) -> Tensor:
    """Return the largest of ``values`` (B, D, N) by class, (K + 1,); anything for a class that is absent.

    Found without a graph and then read with one, at one pixel a class: differentiating the search itself
    would take several passes over all values for a gradient that is 0 nearly everywhere.
    """
    flat = index.flatten()
    with torch.no_grad():
        largest = values.amax(1).flatten()
        top = values.new_zeros(num_classes + 1).scatter_reduce(0, flat, largest, "amax", include_self=False)
        at_top = torch.where(largest == top[flat], torch.arange(len(flat), device=flat.device), 0)
        pixel = flat.new_zeros(num_classes + 1).scatter_reduce(0, flat, at_top, "amax")
    pixels = values.shape[2]
    return values[pixel // pixels, :, pixel % pixels].amax(1)


def _tiny(dtype: torch.dtype) -> float:
    """Return the value up to which a divisor counts as zero: the square of its inverse stays finite."""
    return float(torch.finfo(dtype).eps ** 2)


def _means(found: ClassSums) -> Tensor:
    return found.sums / found.counts.clamp(min=1).unsqueeze(1)


def _class_index(labels: Tensor, num_classes: int) -> Tensor:
    """Return labels as int64 with ``num_classes`` for those that belong to no class."""
    index = labels.long()
    outside = (index < 0) | (index >= num_classes) | (index == IGNORE)
    return torch.where(outside, num_classes, index)


def _feature_index(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the class of each feature pixel, (B, h w)."""
    height, width = features.shape[-2:]
    return _class_index(nearest_labels(labels, (height, width)), num_classes).flatten(1)


def _sums_at(values: Tensor, index: Tensor, num_classes: int) -> ClassSums:
    """Return the sums by class of ``values`` (B, D, N); ``index`` (B, N) is what ``_class_index`` gives."""
    batch, channels, _ = values.shape
    bins = values.new_zeros(batch, channels, num_classes + 1)
    sums = bins.scatter_add(2, index.unsqueeze(1).expand_as(values), values).sum(0).t()
    counts = index.new_zeros(num_classes + 1).scatter_add(
        0, index.flatten(), torch.ones_like(index).flatten()
    )
    return ClassSums(sums[:num_classes], counts[:num_classes])
