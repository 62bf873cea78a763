"""PLOP: learning without forgetting by pseudo-labels and pooled outputs.

Idea: where a pixel is labelled background, the previous model says what it was, if it is sure enough.
What the encoder's stages and the classifier see is held to the previous model, pooled along both sides
of the whole map and of ever smaller cells of it: that keeps context of every range but leaves room.

    loss = nu * cross entropy(labels and pseudo-labels) + sqrt(C / C_new) * mean over maps of pod

    pseudo-label   argmax of the previous model, where its entropy is below the median of that class over
                   the step's background pixels; other background pixels teach nothing
    nu             share of an image's background pixels that got a pseudo-label
    pod            stages * local_pod of each encoder stage, logits * local_pod of the logits, the
                   student's new ones added to its background

Paper: Douillard, Chen, Dapogny, Cord, "PLOP: Learning without Forgetting for Continual Semantic
Segmentation", CVPR 2021, arXiv 2011.11390.

Verified: every term against values computed by hand and by a brute-force second implementation;
thresholds against a sort of all pixels. Departures: thresholds are medians of counts (the published
code adds up bin numbers, and lowers none below 0.001); an image without background has nu = 1
(published: 0, which drops it). Logits are compared at the size of the features, as in the published
code: there they are taken before they are enlarged, here they are brought back, which mixes in 1/32
of the neighbours at output stride 16.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from benchmark.losses import (
    cross_entropy,
    entropy_histogram,
    entropy_medians,
    local_pod,
    merge_new_into_background,
    pseudo_label_cross_entropy,
    pseudo_labels,
)
from benchmark.method import Batch, Method, Need, Output, ParamGroup, State, StepView, trainable
from benchmark.model import SegModel, initialise_from_background

Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class PLOP(Method):
    """Pseudo-labels, and local POD on every stage and on the logits."""

    stages: Weight = 0.01
    """Weight of local POD on each encoder stage. 0.01: the paper."""

    logits: Weight = 0.0005
    """Weight of local POD on the logits. 0.0005: the paper."""

    from_background: bool = True
    """Start the new classes from the background's weights, as MiB does. True: the authors' code."""

    @property
    def needs(self) -> frozenset[Need]:
        """The previous model and, while they have a weight, the encoder's stages."""
        return frozenset({"previous", "stages"}) if self.stages else frozenset({"previous"})

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Start the new classes; train everything."""
        if step.index and self.from_background:
            initialise_from_background(model)
        return trainable(model)

    def prepare(
        self,
        model: SegModel,
        previous: SegModel | None,
        batches: Iterable[Batch],
        step: StepView,
        state: State,
    ) -> None:
        """Find each old class's threshold over the step's data."""
        if previous is None:
            return
        counts = (entropy_histogram(previous(batch.image).logits, batch.target) for batch in batches)
        state["plop.thresholds"] = entropy_medians(reduce(torch.add, counts))

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return the weighted cross entropy and the distillation."""
        if previous_output is None:
            return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        thresholds = state["plop.thresholds"]
        labels = pseudo_labels(previous_output.logits, batch.target, thresholds, step.ignore_index)
        return {
            "pseudo_label_cross_entropy": pseudo_label_cross_entropy(
                output.logits, labels, step.ignore_index
            ),
            "local_pod": self._pod(output, previous_output, step),
        }

    def _pod(self, output: Output, previous: Output, step: StepView) -> Tensor:
        pairs = zip(output.stages, previous.stages, strict=True)
        terms = [self.stages * local_pod(new, old) for new, old in pairs]
        new_logits = merge_new_into_background(output.logits, step.old_outputs)
        size = output.features.shape[-2:]
        terms.append(self.logits * local_pod(_at(size, new_logits), _at(size, previous.logits)))
        schedule = math.sqrt((len(step.seen_classes) + 1) / len(step.new_classes))
        return schedule * torch.stack(terms).mean()


def _at(size: Iterable[int], logits: Tensor) -> Tensor:
    """Bring logits back to the size they were enlarged from."""
    return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)
