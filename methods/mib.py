"""MiB: modelling the background.

Idea: at a step, "background" means "none of the classes labelled now": the old classes are in it, and
to the previous model the new ones were. Both the classification and the distillation loss are
corrected for that, and the new classes start from the background's own weights.

    loss = unbiased_cross_entropy + distillation * unbiased_distillation

    unbiased cross entropy   -log p(c) at a new class c; -log sum over old classes of p at background
    unbiased distillation    p' of the previous model against p, where the student's background
                             probability is p(background) + sum of p over the new classes
    initial classifier       weight of the background; bias b_bkg - log(C_new + 1)

Paper: Cermelli, Mancini, Rota Bulò, Ricci, Caputo, "Modeling the Background for Incremental Learning
in Semantic Segmentation", CVPR 2020, arXiv 2002.00718.

Verified: both terms against values computed by hand and by a brute-force second implementation; the
classifier's start: the background's old probability is shared evenly. Departures: the cross entropy is
a mean over labelled pixels (the published code divides by all pixels, ignored ones too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from benchmark.losses import (
    cross_entropy,
    unbiased_cross_entropy,
    unbiased_cross_entropy_and_distillation,
)
from benchmark.method import Batch, Method, Need, Output, ParamGroup, State, StepView, trainable
from benchmark.model import SegModel, initialise_from_background


@dataclass(frozen=True)
class MiB(Method):
    """Unbiased cross entropy and distillation, classifier initialised from the background."""

    distillation: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the unbiased distillation. 10: the authors' code; they ran 100 for VOC 15-1."""

    @property
    def needs(self) -> frozenset[Need]:
        """The previous model, while the distillation has a weight."""
        return frozenset({"previous"}) if self.distillation else frozenset()

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Start the new classes from the background; train everything."""
        if step.index:
            initialise_from_background(model)
        return trainable(model)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return both unbiased terms; without a previous model the plain cross entropy."""
        if step.index == 0:
            return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        if previous_output is None or not self.distillation:
            unbiased = unbiased_cross_entropy(
                output.logits, batch.target, step.old_outputs, step.ignore_index
            )
            return {"unbiased_cross_entropy": unbiased}
        pair = unbiased_cross_entropy_and_distillation(
            output.logits, batch.target, previous_output.logits, step.ignore_index
        )
        return {
            "unbiased_cross_entropy": pair.cross_entropy,
            "unbiased_distillation": self.distillation * pair.distillation,
        }
