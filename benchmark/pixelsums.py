"""Logits summed up by pixel, once for all terms of one softmax.

At a step the outputs fall into three groups: background, the other old classes (the rest) and the new ones.
Cross entropy and distillation, plain or unbiased, take from the logits (B, C, H, W) only what is in
:class:`PixelSums`, values (B, H, W); what they make of it is arithmetic that autograd follows. So each logit
is raised to its exponential once, forward and backward, however many terms there are: writing each as a
softmax of its own takes two to three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from benchmark.pixelwise import IGNORE, at_least_float32


@dataclass(frozen=True, eq=False)
class PixelSums:
    """What a pixel's logits come to, each (B, H, W), in float32 at least; all but ``teacher`` with a graph.

    ``background``: its logit. ``rest``, ``new``: logsumexp over that group, None where it is empty.
    ``label``: the logit of the label, None without labels; background's where the label is ignored.
    ``teacher``, p' of background, and ``gap``, the sum over the rest of p' (``rest`` - logit): None without a
    previous model, whose softmax is p'.
    """

    background: Tensor
    rest: Tensor | None
    new: Tensor | None
    label: Tensor | None
    gap: Tensor | None
    teacher: Tensor | None

    @cached_property
    def old(self) -> Tensor:
        """Logsumexp over background and the rest."""
        return _join(self.background, self.rest)

    @cached_property
    def background_or_new(self) -> Tensor:
        """Logsumexp over background and the new classes."""
        return _join(self.background, self.new)

    @cached_property
    def all(self) -> Tensor:
        """Logsumexp over all classes."""
        return _join(self.old, self.new)

    def distillation(self, normaliser: Tensor, background: Tensor) -> Tensor:
        """Return minus the sum over the old classes of p' log p, (B, H, W).

        log p is the logit minus ``normaliser``, that of background ``background`` minus it. Differences of
        sums of exponentials keep their digits where the sums are large.
        """
        assert self.teacher is not None
        total = self.teacher * (normaliser - background)
        if self.rest is None or self.gap is None:
            return total
        return total + self.gap + (1 - self.teacher) * (normaliser - self.rest)


def pixel_sums(
    logits: Tensor,
    old_classes: int,
    target: Tensor | None = None,
    previous_logits: Tensor | None = None,
    ignore_index: int = IGNORE,
) -> PixelSums:
    """Sum up logits (B, C, H, W), of which the first ``old_classes`` (1 or more) are background and old.

    ``target`` (B, H, W): labels to take the logits of. ``previous_logits`` (B, ``old_classes``, H, W).
    """
    values = at_least_float32(logits)
    index = None
    if target is not None:
        index = torch.where(target == ignore_index, 0, target.long()).clamp(min=0).unsqueeze(1)
    probability = None
    if previous_logits is not None:
        probability = at_least_float32(previous_logits.detach()).softmax(1).to(values.dtype)
    teacher = None if probability is None else probability[:, 0]
    background, rest, new, label, gap = _PixelSums.apply(values, old_classes, index, probability)
    return PixelSums(background, rest, new, label, gap, teacher)


class _PixelSums(torch.autograd.Function):
    """The sums, and their gradient from one exponential of each logit, which is kept."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, old: int, index: Tensor | None, probability: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        rest, new = _group(logits[:, 1:old]), _group(logits[:, old:])
        label = None if index is None else logits.gather(1, index).squeeze(1)
        gap = None
        if probability is not None and rest.size:
            gap = (1 - probability[:, 0]) * rest.total.log().squeeze(1)
            gap -= rest.shifted.mul_(probability[:, 1:]).sum(1)
        ctx.save_for_backward(rest.exponential, rest.total, new.exponential, new.total, index, probability)
        ctx.set_materialize_grads(False)
        return logits[:, 0].clone(), rest.logsumexp, new.logsumexp, label, gap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None, None, None]:
        background, by_rest, by_new, by_label, by_gap = gradients
        rest, rest_total, new, new_total, index, probability = ctx.saved_tensors
        old = 1 + rest.shape[1]
        whole = rest.new_empty(len(rest), old + new.shape[1], *rest.shape[2:])
        whole[:, 0] = 0 if background is None else background
        if by_gap is not None:  # d gap / d logit: the rest's softmax times its share of p', minus p'
            share = by_gap * (1 - probability[:, 0])
            by_rest = share if by_rest is None else by_rest + share
        _spread(rest, rest_total, by_rest, whole[:, 1:old])
        _spread(new, new_total, by_new, whole[:, old:])
        if by_gap is not None:
            whole[:, 1:old].addcmul_(probability[:, 1:], by_gap.unsqueeze(1), value=-1)
        if by_label is not None:
            whole.scatter_add_(1, index, by_label.unsqueeze(1))
        return whole, None, None, None


class _Group(NamedTuple):
    """Logits of a group (B, K, H, W) less their maximum, the exponentials of that and their sum over K.

    ``logsumexp`` (B, H, W): None for a group of no classes.
    """

    size: int
    shifted: Tensor
    exponential: Tensor
    total: Tensor
    logsumexp: Tensor | None


def _group(logits: Tensor) -> _Group:
    """Each group has a maximum of its own: by a common one all exponentials of a group could vanish."""
    size = logits.shape[1]
    if not size:
        return _Group(0, logits, logits, logits, None)
    largest = logits.amax(1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    shifted = logits - largest
    exponential = shifted.exp()
    total = exponential.sum(1, keepdim=True)
    logsumexp = (largest + total.log()).squeeze(1)
    # 1 or more, or 0 where every class of the group is ruled out by a logit of -inf.
    return _Group(size, shifted, exponential, total.clamp(min=1), logsumexp)


def _spread(exponential: Tensor, total: Tensor, gradient: Tensor | None, out: Tensor) -> None:
    """Write the gradient by a group's logits to ``out``: that by its logsumexp, times its softmax."""
    if not exponential.shape[1]:
        return
    if gradient is None:
        out.zero_()
    else:
        torch.mul(exponential, gradient.unsqueeze(1) / total, out=out)


def _join(one: Tensor, other: Tensor | None) -> Tensor:
    return one if other is None else torch.logaddexp(one, other)
