"""CIL: class-incremental learning that re-uses neither old data nor old labels.

Idea: labels teach the new classes where there are some; everywhere else the previous model teaches the
old ones. Where it is unsure, between two classes say, its view counts more than where it is certain.

    loss = cross entropy at pixels with a new label
         + distillation * mean over the other pixels of -(1 + H(p') / ln 2) sum over old classes of p' log p

H is the entropy of the previous model's p' in nats; p is the softmax over old and new classes.

Paper: Klingner, Bär, Donn, Fingscheidt, "Class-Incremental Learning for Semantic Segmentation Re-Using
Neither Old Data Nor Old Labels", ITSC 2020, arXiv 2005.06050.

Verified: both terms against values computed by hand and by a brute-force second implementation.
Departures: none known in the loss; the classifier grows as for every method. Labels of old classes,
which the sequential setting shows, are not used: the method is about doing without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from benchmark.losses import cross_entropy, entropy_weighted_distillation
from benchmark.method import Batch, Method, Need, Output, State, StepView
from benchmark.model import SegModel


@dataclass(frozen=True)
class CIL(Method):
    """Cross entropy on new labels, entropy-weighted distillation elsewhere."""

    distillation: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the distillation. 1: the paper adds both terms as they are."""

    @property
    def needs(self) -> frozenset[Need]:
        """The previous model."""
        return frozenset({"previous"})

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return both terms; plain cross entropy without a previous model."""
        if previous_output is None:
            return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        without = (batch.target < step.old_outputs) | (batch.target == step.ignore_index)
        new = batch.target.masked_fill(without, step.ignore_index)
        distilled = entropy_weighted_distillation(output.logits, previous_output.logits, without)
        return {
            "cross_entropy": cross_entropy(output.logits, new, step.ignore_index),
            "entropy_weighted_distillation": self.distillation * distilled,
        }
