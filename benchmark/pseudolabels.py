"""Pseudo-labels: the previous model's view of pixels labelled background, kept where it is sure (PLOP).

A pixel's entropy is that of the previous model's softmax over log(C_old), so between 0 and 1. A class's
threshold is the median entropy of the background pixels the previous model gives that class, over the
step's data. It is read from a histogram that is equally fine at every order of magnitude that matters:
bins of equal width in the fourth root of the entropy, since a trained model's entropies crowd near 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.pixelwise import IGNORE, at_least_float32, strongest

ROOT = 4


class PseudoLabels(NamedTuple):
    """Visible labels completed by pseudo-labels.

    ``target`` (B, H, W) int64; ``share`` (B,) float32, the share of each image's background pixels that
    got a pseudo-label, 1 where an image has no background.
    """

    target: Tensor
    share: Tensor


def normalised_entropy(logits: Tensor) -> Tensor:
    """Return the entropy (B, H, W) of the softmax of ``logits`` (B, C, H, W), over log(C): 0 to 1."""
    log_p = at_least_float32(logits).log_softmax(1)
    entropy = -(log_p.exp() * log_p).sum(1)
    return (entropy / math.log(max(logits.shape[1], 2))).clamp(0, 1)


def pseudo_labels(
    previous_logits: Tensor, target: Tensor, thresholds: Tensor | None = None, ignore_index: int = IGNORE
) -> PseudoLabels:
    """Complete ``target`` (B, H, W) at background pixels by the previous model's argmax.

    ``previous_logits`` (B, C_old, H, W). PLOP (Douillard et al., CVPR 2021), its pseudo-labels: only
    where the entropy is below the ``thresholds`` (C_old,) of the class, other background pixels become
    ``ignore_index``. Without thresholds every background pixel gets a pseudo-label.
    """
    teacher = previous_logits.detach()
    background, guess = target == 0, strongest(teacher)
    sure = background
    if thresholds is not None:
        sure = background & (normalised_entropy(teacher) < thresholds[guess])
    completed = torch.where(sure, guess, torch.where(background, ignore_index, target.long()))
    found = background.sum((1, 2))
    share = torch.where(found > 0, sure.sum((1, 2)) / found.clamp(min=1), 1.0)
    return PseudoLabels(completed, share)


def pseudo_label_cross_entropy(logits: Tensor, labels: PseudoLabels, ignore_index: int = IGNORE) -> Tensor:
    """Return the cross entropy to completed labels, each image's weighted by its share of kept pixels.

    PLOP (Douillard et al., CVPR 2021), its classification loss: nu / (W H) times the sum over pixels; W H
    counts all pixels, ignored ones too. ``logits`` (B, C, H, W).
    """
    values = at_least_float32(logits)
    losses = F.cross_entropy(values, labels.target, ignore_index=ignore_index, reduction="none")
    return (losses.mean((1, 2)) * labels.share).mean()


def entropy_histogram(previous_logits: Tensor, target: Tensor, bins: int = 4096) -> Tensor:
    """Count background pixels by the previous model's class and entropy: (C_old, bins) int64, to be added up.

    ``previous_logits`` (B, C_old, H, W), ``target`` (B, H, W) with 0 for background.
    """
    classes = previous_logits.shape[1]
    position = normalised_entropy(previous_logits).pow(1 / ROOT) * bins
    index = strongest(previous_logits) * bins + position.long().clamp(max=bins - 1)
    counts = torch.zeros(classes * bins, dtype=torch.long, device=index.device)
    return counts.scatter_add(0, index.flatten(), (target == 0).long().flatten()).view(classes, bins)


def entropy_medians(histogram: Tensor) -> Tensor:
    """Return the medians (C_old,) of a histogram (C_old, bins), linear within a bin; 0 for an empty class."""
    half = histogram.sum(1, keepdim=True) / 2
    upto = histogram.cumsum(1)
    bin_of = (upto < half).sum(1, keepdim=True)
    count = histogram.gather(1, bin_of)
    within = (half - (upto.gather(1, bin_of) - count)) / count.clamp(min=1)
    return ((bin_of + within) / histogram.shape[1]).pow(ROOT).squeeze(1)
