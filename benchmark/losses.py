"""Loss terms shared by methods, as pure functions of tensors. Import all of them from here.

Those on outputs of the previous model, class prototypes, pooled activations and pseudo-labels are written
in modules of their own.

Every term (some functions return it with what it is made of) is a scalar in float32 at least, whatever the
precision of its inputs and of autocast. Its gradient reaches the student only. Where no pixel qualifies it
is 0 with a graph; it is never NaN for finite inputs. No shape or branch depends on the data, so terms trace
under fake tensors and never wait for a GPU. Labels are (B, H, W) of any integer type: outputs' indices, 0
background, 255 ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from benchmark.distillation import (
    Pair,
    cross_entropy_and_distillation,
    output_distillation,
    unbiased_cross_entropy,
    unbiased_cross_entropy_and_distillation,
    unbiased_distillation,
)
from benchmark.pixelwise import (
    IGNORE,
    at_least_float32,
    masked_mean,
    nearest_labels,
    pixel_mean,
    strongest,
    without_autocast,
)
from benchmark.pod import local_pod, merge_new_into_background
from benchmark.prototypes import (
    ClassSums,
    attraction,
    class_sums,
    prototype_matching,
    repulsion,
    sparsity,
)
from benchmark.pseudolabels import (
    PseudoLabels,
    entropy_histogram,
    entropy_medians,
    normalised_entropy,
    pseudo_label_cross_entropy,
    pseudo_labels,
)

__all__ = [
    "ClassSums",
    "Pair",
    "Penalty",
    "PseudoLabels",
    "attraction",
    "class_sums",
    "cross_entropy",
    "cross_entropy_and_distillation",
    "entropy_histogram",
    "entropy_medians",
    "entropy_weighted_distillation",
    "feature_distillation",
    "local_pod",
    "merge_new_into_background",
    "nearest_labels",
    "normalised_entropy",
    "output_distillation",
    "prototype_matching",
    "pseudo_label_cross_entropy",
    "pseudo_labels",
    "quadratic_penalty",
    "repulsion",
    "scaled_importance",
    "sigmoid_distillation",
    "similarity_distillation",
    "sparsity",
    "strongest",
    "unbiased_cross_entropy",
    "unbiased_cross_entropy_and_distillation",
    "unbiased_distillation",
]


def cross_entropy(logits: Tensor, target: Tensor, ignore_index: int = IGNORE) -> Tensor:
    """Return the mean over labelled pixels of -log p(``target`` (B, H, W)), ``logits`` (B, C, H, W)."""
    total = F.cross_entropy(
        at_least_float32(logits), target.long(), ignore_index=ignore_index, reduction="sum"
    )
    return total / (target != ignore_index).sum().clamp(min=1)


def entropy_weighted_distillation(
    logits: Tensor, previous_logits: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Return the distillation that trusts the previous model less where it is sure of one class.

    CIL (Klingner et al., ITSC 2020, arXiv 2005.06050), its distillation loss: per pixel minus the sum
    over the old classes of p' log p, p the softmax over all C, times 1 + the entropy of p' in bits; mean
    over the pixels of ``mask`` (B, H, W), which are those without a new label. The mean does not divide
    by the weights.
    """
    old = previous_logits.shape[1]
    teacher = at_least_float32(previous_logits.detach()).log_softmax(1)
    student = at_least_float32(logits).log_softmax(1)[:, :old]
    probability = teacher.exp()
    weight = 1 - (probability * teacher).sum(1) / math.log(2)
    return pixel_mean(-weight * (probability * student).sum(1), mask)


def sigmoid_distillation(
    logits: Tensor, previous_logits: Tensor | None, target: Tensor, ignore_index: int = IGNORE
) -> Tensor:
    """Return iCaRL's loss: each output a binary classifier, old ones taught by the previous model.

    iCaRL (Rebuffi et al., CVPR 2017), algorithm 3, by pixel: sum over outputs of the binary cross
    entropy, to the sigmoid of ``previous_logits`` (B, C_old, H, W) for the first C_old outputs,
    background among them, to the label for the others (all of them where there is no previous model);
    mean over labelled pixels.
    """
    old = 0 if previous_logits is None else previous_logits.shape[1]
    outputs = torch.arange(old, logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    values = at_least_float32(logits)
    wanted = (target.unsqueeze(1) == outputs).to(values.dtype)
    if previous_logits is not None:
        wanted = torch.cat([previous_logits.detach().to(values.dtype).sigmoid(), wanted], 1)
    losses = F.binary_cross_entropy_with_logits(values, wanted, reduction="none").sum(1)
    return masked_mean(losses, target != ignore_index)


def feature_distillation(features: Tensor, previous_features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of features (B, D, h, w), over the pixels of ``mask`` if given.

    ILT (Michieli & Zanuttigh, ICCV Workshops 2019), L''_D. ``mask`` (B, H, W) of any size, brought to (h,
    w).
    """
    student, teacher = at_least_float32(features), at_least_float32(previous_features.detach())
    if mask is None:
        return F.mse_loss(student, teacher.to(student.dtype))
    height, width = features.shape[-2:]
    return pixel_mean((student - teacher).square().mean(1), nearest_labels(mask, (height, width)))


def similarity_distillation(features: Tensor, previous_features: Tensor) -> Tensor:
    """Return how differently student and previous model see the images of a batch resemble each other.

    SPKD (Tung & Mori, ICCV 2019), as in ILT's journal version (Michieli & Zanuttigh, CVIU 2021): Gram
    matrices (B, B) of the flattened features, rows L2-normalised, squared Frobenius distance over B^2.
    """
    difference = _similarities(features) - _similarities(previous_features.detach())
    return difference.square().mean()


class Penalty(NamedTuple):
    """A penalty's ``value``, and by parameter what backward, which fills it in, has added to its gradient."""

    value: Tensor
    gradients: tuple[Tensor, ...]


def quadratic_penalty(
    parameters: Sequence[Tensor], anchors: Sequence[Tensor], importance: Sequence[Tensor]
) -> Penalty:
    """Return the sum of W (p - p_old)^2 over tensors of equal shapes, as EWC, RW and SI punish change.

    EWC (Kirkpatrick et al., PNAS 2017), without the factor 1/2, as in the published code whose weights
    are in use. At least one tensor. Goes backward once: its gradient is made in place of what the value was
    made of, and handed over, as making it again would take as long as the value.
    """
    if not len(parameters) == len(anchors) == len(importance):
        raise ValueError(f"{len(parameters)} parameters, {len(anchors)} anchors, {len(importance)} weights")
    value, *gradients = _QuadraticPenalty.apply(len(parameters), *parameters, *anchors, *importance)
    return Penalty(value, tuple(gradients))


class _QuadraticPenalty(torch.autograd.Function):
    """Autograd's own chain takes twice as long."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        parameters, anchors, weights = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        parts, pull = [], []
        with without_autocast(parameters[0].device):
            for parameter, anchor, weight in zip(parameters, anchors, weights, strict=True):
                moved = parameter - anchor
                pull.append(moved * weight)
                parts.append(torch.linalg.vecdot(moved.flatten(), pull[-1].flatten()))
        ctx.save_for_backward(*pull)
        ctx.mark_non_differentiable(*pull)
        ctx.set_materialize_grads(False)
        return torch.stack(parts).sum(), *pull

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        pull = ctx.saved_tensors  # raises where they were scaled already
        torch._foreach_mul_(pull, 2 * gradient)
        return None, *pull, *[None] * (2 * len(pull))


def scaled_importance(importance: Tensor) -> Tensor:
    """Return (T - min) / (max - min) of one parameter's importance, 0 where all its elements are equal."""
    lowest, highest = importance.aminmax()
    span = highest - lowest
    return (importance - lowest) / torch.where(span > 0, span, 1.0)


def _similarities(features: Tensor) -> Tensor:
    """Return the Gram matrix (B, B) of the images' features, rows of length 1 (0 for features all 0)."""
    rows = at_least_float32(features).flatten(1)
    with without_autocast(rows.device):
        gram = rows @ rows.t()
    length = torch.linalg.vector_norm(gram, dim=1, keepdim=True)
    return gram / torch.where(length > 0, length, 1.0)
