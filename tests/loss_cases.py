"""What the tests of the losses share: small batches of every kind, and every term beside its brute twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import brute_losses as brute
import torch
from torch import Tensor

from benchmark import losses

SCALES = (1, 2, 4)


class Toy(NamedTuple):
    """A batch's worth of everything a term can take; ``old`` outputs of the previous model."""

    logits: Tensor
    previous_logits: Tensor
    target: Tensor
    features: Tensor
    previous_features: Tensor
    prototypes: Tensor
    thresholds: Tensor

    @property
    def old(self) -> int:
        return self.previous_logits.shape[1]


class Size(NamedTuple):
    """``classes`` counts background, ``old`` of them are of the previous model; sides are height, width."""

    batch: int
    classes: int
    old: int
    image: tuple[int, int]
    features: tuple[int, int]
    channels: int


def toy(size: Size, dtype: torch.dtype, make_target: Callable[[Tensor, Size], Tensor], seed: int = 0) -> Toy:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    logits = 2 * normal(size.batch, size.classes, *size.image)
    features = normal(size.batch, size.channels, *size.features)
    target = torch.randint(0, size.classes, (size.batch, *size.image), generator=g)
    return Toy(
        logits,
        logits[:, : size.old] + normal(size.batch, size.old, *size.image),
        make_target(target, size),
        features,
        features + 0.5 * normal(*features.shape),
        normal(size.classes, size.channels),
        torch.rand(size.old, generator=g),
    )


def mixed(target: Tensor, size: Size) -> Tensor:
    """Old classes hidden in the background, a corner ignored, one ignored pixel in the middle."""
    target = torch.where(target < size.old, 0, target)
    target[:, : size.image[0] // 3, : size.image[1] // 3] = 255
    target[-1, -1, -1] = 255
    return target


def only(label: int) -> Callable[[Tensor, Size], Tensor]:
    return lambda target, size: torch.full_like(target, label)


Pair = tuple[Callable[[Toy], Tensor], Callable[[Toy], float]]
TERMS: dict[str, Pair] = {
    "cross_entropy": (
        lambda t: losses.cross_entropy(t.logits, t.target),
        lambda t: brute.cross_entropy(t.logits.tolist(), t.target.tolist()),
    ),
    "unbiased_cross_entropy": (
        lambda t: losses.unbiased_cross_entropy(t.logits, t.target, t.old),
        lambda t: brute.unbiased_cross_entropy(t.logits.tolist(), t.target.tolist(), t.old),
    ),
    "output_distillation": (
        lambda t: losses.output_distillation(t.logits, t.previous_logits),
        lambda t: brute.output_distillation(t.logits.tolist(), t.previous_logits.tolist()),
    ),
    "output_distillation, masked": (
        lambda t: losses.output_distillation(t.logits, t.previous_logits, t.target == 0),
        lambda t: brute.output_distillation(
            t.logits.tolist(), t.previous_logits.tolist(), (t.target == 0).tolist()
        ),
    ),
    "unbiased_distillation": (
        lambda t: losses.unbiased_distillation(t.logits, t.previous_logits),
        lambda t: brute.unbiased_distillation(t.logits.tolist(), t.previous_logits.tolist()),
    ),
    "unbiased_distillation, masked": (
        lambda t: losses.unbiased_distillation(t.logits, t.previous_logits, t.target == 0),
        lambda t: brute.unbiased_distillation(
            t.logits.tolist(), t.previous_logits.tolist(), (t.target == 0).tolist()
        ),
    ),
    "pair, cross entropy": (
        lambda t: losses.cross_entropy_and_distillation(t.logits, t.target, t.previous_logits).cross_entropy,
        lambda t: brute.cross_entropy(t.logits.tolist(), t.target.tolist()),
    ),
    "pair, distillation": (
        lambda t: losses.cross_entropy_and_distillation(t.logits, t.target, t.previous_logits).distillation,
        lambda t: brute.output_distillation(t.logits.tolist(), t.previous_logits.tolist()),
    ),
    "pair, distillation, masked": (
        lambda t: (
            losses.cross_entropy_and_distillation(
                t.logits, t.target, t.previous_logits, t.target == 0
            ).distillation
        ),
        lambda t: brute.output_distillation(
            t.logits.tolist(), t.previous_logits.tolist(), (t.target == 0).tolist()
        ),
    ),
    "unbiased pair, cross entropy": (
        lambda t: (
            losses.unbiased_cross_entropy_and_distillation(
                t.logits, t.target, t.previous_logits
            ).cross_entropy
        ),
        lambda t: brute.unbiased_cross_entropy(t.logits.tolist(), t.target.tolist(), t.old),
    ),
    "unbiased pair, distillation": (
        lambda t: (
            losses.unbiased_cross_entropy_and_distillation(t.logits, t.target, t.previous_logits).distillation
        ),
        lambda t: brute.unbiased_distillation(t.logits.tolist(), t.previous_logits.tolist()),
    ),
    "entropy_weighted_distillation": (
        lambda t: losses.entropy_weighted_distillation(t.logits, t.previous_logits, t.target == 0),
        lambda t: brute.entropy_weighted_distillation(
            t.logits.tolist(), t.previous_logits.tolist(), (t.target == 0).tolist()
        ),
    ),
    "sigmoid_distillation": (
        lambda t: losses.sigmoid_distillation(t.logits, t.previous_logits, t.target),
        lambda t: brute.sigmoid_distillation(
            t.logits.tolist(), t.previous_logits.tolist(), t.target.tolist()
        ),
    ),
    "sigmoid_distillation, first step": (
        lambda t: losses.sigmoid_distillation(t.logits, None, t.target),
        lambda t: brute.sigmoid_distillation(t.logits.tolist(), None, t.target.tolist()),
    ),
    "pseudo_label_cross_entropy": (
        lambda t: losses.pseudo_label_cross_entropy(
            t.logits, losses.pseudo_labels(t.previous_logits, t.target, t.thresholds)
        ),
        lambda t: brute.pseudo_label_cross_entropy(
            t.logits.tolist(), t.previous_logits.tolist(), t.target.tolist(), t.thresholds.tolist()
        ),
    ),
    "feature_distillation": (
        lambda t: losses.feature_distillation(t.features, t.previous_features),
        lambda t: brute.feature_distillation(t.features.tolist(), t.previous_features.tolist()),
    ),
    "feature_distillation, masked": (
        lambda t: losses.feature_distillation(t.features, t.previous_features, t.target == 0),
        lambda t: brute.feature_distillation(
            t.features.tolist(), t.previous_features.tolist(), (t.target == 0).tolist()
        ),
    ),
    "similarity_distillation": (
        lambda t: losses.similarity_distillation(t.features, t.previous_features),
        lambda t: brute.similarity_distillation(t.features.tolist(), t.previous_features.tolist()),
    ),
    "local_pod": (
        lambda t: losses.local_pod(t.features, t.previous_features),
        lambda t: brute.local_pod(t.features.tolist(), t.previous_features.tolist(), SCALES, square=True),
    ),
    "local_pod, not squared": (
        lambda t: losses.local_pod(t.features, t.previous_features, square=False),
        lambda t: brute.local_pod(t.features.tolist(), t.previous_features.tolist(), SCALES, square=False),
    ),
    "prototype_matching": (
        lambda t: losses.prototype_matching(t.features, t.target, t.prototypes),
        lambda t: brute.prototype_matching(t.features.tolist(), t.target.tolist(), t.prototypes.tolist()),
    ),
    "attraction": (
        lambda t: losses.attraction(t.features, t.target, t.prototypes),
        lambda t: brute.attraction(t.features.tolist(), t.target.tolist(), t.prototypes.tolist()),
    ),
    "repulsion": (
        lambda t: losses.repulsion(t.features, t.target, len(t.prototypes)),
        lambda t: brute.repulsion(t.features.tolist(), t.target.tolist()),
    ),
    "repulsion, classes not told": (
        lambda t: losses.repulsion(t.features, t.target),
        lambda t: brute.repulsion(t.features.tolist(), t.target.tolist()),
    ),
    "sparsity": (
        lambda t: losses.sparsity(t.features.relu(), t.target, len(t.prototypes)),
        lambda t: brute.sparsity(t.features.relu().tolist(), t.target.tolist()),
    ),
    "sparsity, classes not told, signed features": (
        lambda t: losses.sparsity(t.features + 1, t.target),
        lambda t: brute.sparsity((t.features + 1).tolist(), t.target.tolist()),
    ),
}
SIZES = {
    "ordinary": Size(3, 6, 4, (13, 17), (5, 6), 4),
    "batch of one": Size(1, 5, 3, (8, 8), (4, 4), 3),
    "one-class step": Size(2, 4, 3, (9, 6), (3, 3), 5),
    "labels smaller than features": Size(2, 5, 2, (3, 4), (7, 6), 3),
    "150 classes": Size(2, 151, 101, (12, 12), (12, 12), 6),
}
TARGETS = {
    "mixed": mixed,
    "all labels visible": lambda target, size: target,
    "only background": only(0),
    "only ignored": only(255),
    "one class": only(2),
    "one new class": lambda target, size: torch.full_like(target, size.classes - 1),
}


def leaf(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_()
