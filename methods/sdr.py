"""SDR: sparse and disentangled representations.

Idea: shape the encoder's features so that new classes find room without moving the old ones. Features of
old classes stay near their prototypes, features of a class gather around theirs, classes keep apart, and
each pixel's features are sparse. The four terms go on top of a method's losses: MiB's by default.

    loss = on's terms + matching * prototype_matching + attraction * attraction
         + repulsion * repulsion + sparsity * sparsity(ReLU(f))

    prototype of a class     p := (sum of new features + n p) / (n + new), over all its pixels so far

A prototype holds every pixel labelled with its class at feature size: over one pass after step 0, and in
later steps each batch before its loss, without gradient. Background has one in the sequential setting
only: elsewhere old and future classes hide in it. For the matching, old classes are found by their
visible labels in the sequential setting, elsewhere by the previous model's argmax at background pixels.

Paper: Michieli, Zanuttigh, "Continual Semantic Segmentation via Repulsion-Attraction of Sparse and
Disentangled Latent Representations", CVPR 2021, arXiv 2103.06342.

Verified: every term against values computed by hand and by a brute-force second implementation;
prototypes across steps and settings against a plain loop over pixels. Departures: the terms follow the
paper's formulas, not the published code, where a reshape after a mask mixes channels and a division
inside a loop weights classes unequally; prototypes of step 0 are computed once, after it, with the
trained encoder; ``on=mib`` includes MiB's start of the new classes, which the authors' preset leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from benchmark.losses import (
    attraction,
    class_sums,
    nearest_labels,
    prototype_matching,
    repulsion,
    sparsity,
    strongest,
)
from benchmark.method import Batch, Method, Need, Output, State, StepView, other
from benchmark.model import SegModel
from methods._on_top import OnTop

Weight = Annotated[float, Field(ge=0)]
DISTILLATION = 100.0


@dataclass(frozen=True)
class SDR(OnTop):
    """Prototype matching, attraction, repulsion and sparsity on top of another method."""

    on: Literal["mib", "plop", "fine_tune"] = "mib"
    """Method whose losses the four terms are added to. ``mib``: the authors' best; the paper shows all."""

    distillation: Weight = DISTILLATION
    """Weight of MiB's distillation under ``on=mib``. 100: the authors' code (range 1 to 100)."""

    matching: Weight = 0.01
    """Weight of the prototype matching. 0.01: the authors' code (range 0.001 to 0.1)."""

    attraction: Weight = 0.001
    """Weight of the attraction. 0.001: the authors' code (range 0.001 to 0.01)."""

    repulsion: Weight = 0.001
    """Weight of the repulsion. 0.001: the authors' code (range 0.001 to 0.01)."""

    sparsity: Weight = 0.001
    """Weight of the sparsity. 0.001: the authors' code (range 0.00001 to 0.001)."""

    def __post_init__(self) -> None:
        """Refuse a weight that nothing would read."""
        if self.on != "mib" and self.distillation != DISTILLATION:
            raise ValueError(f"distillation is MiB's weight and means nothing with on={self.on}")

    @cached_property
    def inner(self) -> Method:
        """The method below; MiB with SDR's weight of the distillation."""
        return other(self.on, distillation=self.distillation) if self.on == "mib" else other(self.on)

    @property
    def needs(self) -> frozenset[Need]:
        """What the method below needs, and the previous model for the matching's pseudo-labels."""
        return self.inner.needs | {"previous"} if self.matching else self.inner.needs

    @property
    def _keeps_prototypes(self) -> bool:
        return bool(self.matching or self.attraction)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> Mapping[str, Tensor]:
        """Update the prototypes, then return the terms of the method below and SDR's own."""
        terms = dict(self.inner.loss(model, output, previous_output, batch, step, state))
        if step.index == 0:
            return terms
        labels = at_size_of(output.features, batch.target)
        outputs = output.logits.shape[1]
        if self._keeps_prototypes:
            terms |= self._prototype_terms(output, previous_output, labels, step, state)
        if self.repulsion:
            terms["repulsion"] = self.repulsion * repulsion(output.features, labels, outputs)
        if self.sparsity:
            terms["sparsity"] = self.sparsity * sparsity(torch.relu(output.features), labels, outputs)
        return terms

    def _prototype_terms(
        self, output: Output, previous_output: Output | None, labels: Tensor, step: StepView, state: State
    ) -> dict[str, Tensor]:
        known = without_hidden_background(labels, step)
        prototypes = update(state, output.features, known, output.logits.shape[1])
        terms = {}
        if self.matching and previous_output is not None:
            old = old_class_labels(labels, previous_output.logits, prototypes.counts, step)
            terms["matching"] = self.matching * prototype_matching(output.features, old, prototypes.means)
        if self.attraction:
            terms["attraction"] = self.attraction * attraction(output.features, known, prototypes.means)
        return terms

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Build the prototypes of step 0 in one pass over its data; later steps have built theirs."""
        self.inner.consolidate(model, batches, step, state)
        if step.index or not self._keeps_prototypes:
            return
        for batch in batches:
            features = model(batch.image).features.float()
            labels = at_size_of(features, batch.target)
            update(state, features, without_hidden_background(labels, step), model.outputs)


class Prototypes(NamedTuple):
    """Mean feature of every output's class (K, D), and how many pixels it is of (K,)."""

    means: Tensor
    counts: Tensor


def at_size_of(like: Tensor, labels: Tensor) -> Tensor:
    """Return labels (B, H, W), or logits (B, C, H, W), at the height and width of ``like`` (..., h, w)."""
    height, width = like.shape[-2:]
    return nearest_labels(labels, (height, width))


@torch.no_grad()
def update(state: State, features: Tensor, labels: Tensor, outputs: int) -> Prototypes:
    """Fold a batch's features (B, D, h, w) into the running means kept in ``state``; return them.

    Counts are integers: a float32 would stop counting at 2^24 pixels.
    """
    channels = features.shape[1]
    means = state.get("sdr.prototypes", features.new_zeros(0, channels))
    counts = state.get("sdr.counts", features.new_zeros(0, dtype=torch.long))
    new_rows = outputs - len(counts)
    means = torch.cat([means, means.new_zeros(new_rows, channels)])
    counts = torch.cat([counts, counts.new_zeros(new_rows)])
    sums, pixels = class_sums(features.detach(), labels, outputs)
    counts = counts + pixels.long()
    means = means + (sums - pixels[:, None] * means) / counts.clamp(min=1)[:, None]
    state["sdr.prototypes"], state["sdr.counts"] = means, counts
    return Prototypes(means, counts)


def without_hidden_background(labels: Tensor, step: StepView) -> Tensor:
    """Return labels with background as 255, except where it hides no class: in the sequential setting."""
    if step.setting == "sequential":
        return labels
    return labels.masked_fill(labels == 0, step.ignore_index)


def old_class_labels(labels: Tensor, previous_logits: Tensor, counts: Tensor, step: StepView) -> Tensor:
    """Return where old classes are (B, h, w): visible labels, or the previous model's view of background.

    255 elsewhere, and where the class has no prototype yet.
    """
    if step.setting == "sequential":
        found, there = labels, (labels > 0) & (labels < step.old_outputs)
    else:
        found = strongest(at_size_of(labels, previous_logits))
        there = (labels == 0) & (found > 0)
    has_prototype = counts[found.clamp(max=len(counts) - 1)] > 0
    return torch.where(there & has_prototype, found, step.ignore_index)
