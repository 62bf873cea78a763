"""LwF: learning without forgetting.

Idea: on the images of the new step, keep what the previous model says of the old classes. The softmax of
the student's old outputs is held to the previous model's; background is one of them.

    loss = cross entropy + distillation * output_distillation
    output distillation    minus mean over old classes of p' log p, mean over pixels

Paper: Li, Hoiem, "Learning without Forgetting", ECCV 2016, arXiv 1606.09282; in segmentation as a
baseline of Cermelli et al., CVPR 2020.

Verified: both terms against values computed by hand and by a brute-force second implementation; zero
gradient of the distillation where student and previous model agree. Departures: temperature 1, as in
all published code for segmentation (the paper has 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from benchmark.losses import cross_entropy, cross_entropy_and_distillation
from benchmark.method import Batch, Method, Need, Output, State, StepView
from benchmark.model import SegModel


@dataclass(frozen=True)
class LwF(Method):
    """Cross entropy and distillation of the old outputs."""

    distillation: Annotated[float, Field(ge=0)] = 100.0
    """Weight of the distillation. 100: MiB's, PLOP's and SDR's code."""

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
        """Return the cross entropy and, after step 0, the weighted distillation."""
        if previous_output is None:
            return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        pair = cross_entropy_and_distillation(
            output.logits, batch.target, previous_output.logits, ignore_index=step.ignore_index
        )
        return {
            "cross_entropy": pair.cross_entropy,
            "output_distillation": self.distillation * pair.distillation,
        }
