"""Cross entropy to labels and to a previous model's outputs: LwF's and MiB's terms.

A term on its own and a pair of terms are the same formulas; a pair goes over the logits once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmark.pixelsums import PixelSums, pixel_sums
from benchmark.pixelwise import IGNORE, masked_mean, pixel_mean


class Pair(NamedTuple):
    """Two terms of the same logits, unweighted scalars."""

    cross_entropy: Tensor
    distillation: Tensor


def unbiased_cross_entropy(
    logits: Tensor, target: Tensor, old_classes: int, ignore_index: int = IGNORE
) -> Tensor:
    """Return the cross entropy in which background means "background or any old class".

    MiB (Cermelli et al., CVPR 2020), its cross-entropy loss, logits (B, C, H, W), target (B, H, W): mean over
    labelled pixels of -log p of a new class, or of -log of the sum of p over background and the old classes.
    ``old_classes`` counts the background; labels below it are background. With 1, or 0 at the first step,
    it is the plain cross entropy.
    """
    old = max(old_classes, 1)
    sums = pixel_sums(logits, old, target, ignore_index=ignore_index)
    return _unbiased_cross_entropy(sums, target, old, ignore_index)


def output_distillation(logits: Tensor, previous_logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the cross entropy of the student's old classes to the previous model's, per class.

    LwF (Li & Hoiem, ECCV 2016) and ILT (Michieli & Zanuttigh, ICCV Workshops 2019), L'_D: softmax over
    the first C_old channels of ``logits`` (B, C, H, W); per pixel minus the mean over those of p' log p,
    p' from ``previous_logits`` (B, C_old, H, W); mean over pixels, those of ``mask`` (B, H, W) if given.
    """
    old = previous_logits.shape[1]
    return _output_distillation(pixel_sums(logits[:, :old], old, None, previous_logits), old, mask)


def unbiased_distillation(logits: Tensor, previous_logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return :func:`output_distillation` where the student's background holds its new classes too.

    MiB (Cermelli et al., CVPR 2020), its distillation loss: to the previous model the new classes were
    background, so p(background) is p(background) + sum of p over the new classes, softmax over all C.
    """
    old = previous_logits.shape[1]
    return _unbiased_distillation(pixel_sums(logits, old, None, previous_logits), old, mask)


def cross_entropy_and_distillation(
    logits: Tensor,
    target: Tensor,
    previous_logits: Tensor,
    mask: Tensor | None = None,
    ignore_index: int = IGNORE,
) -> Pair:
    """Return ``cross_entropy`` and :func:`output_distillation` from one pass over the logits."""
    old = previous_logits.shape[1]
    sums = pixel_sums(logits, old, target, previous_logits, ignore_index)
    assert sums.label is not None
    losses = masked_mean(sums.all - sums.label, target != ignore_index)
    return Pair(losses, _output_distillation(sums, old, mask))


def unbiased_cross_entropy_and_distillation(
    logits: Tensor, target: Tensor, previous_logits: Tensor, ignore_index: int = IGNORE
) -> Pair:
    """Return MiB's two terms, on all pixels, from one pass over the logits.

    They are :func:`unbiased_cross_entropy` with as many old classes as the previous model has outputs, and
    :func:`unbiased_distillation`.
    """
    old = previous_logits.shape[1]
    sums = pixel_sums(logits, old, target, previous_logits, ignore_index)
    return Pair(
        _unbiased_cross_entropy(sums, target, old, ignore_index), _unbiased_distillation(sums, old, None)
    )


def _unbiased_cross_entropy(sums: PixelSums, target: Tensor, old: int, ignore_index: int) -> Tensor:
    assert sums.label is not None
    own = torch.where(target >= old, sums.label, sums.old)
    return masked_mean(sums.all - own, target != ignore_index)


def _output_distillation(sums: PixelSums, old: int, mask: Tensor | None) -> Tensor:
    return pixel_mean(sums.distillation(sums.old, sums.background) / old, mask)


def _unbiased_distillation(sums: PixelSums, old: int, mask: Tensor | None) -> Tensor:
    return pixel_mean(sums.distillation(sums.all, sums.background_or_new) / old, mask)
