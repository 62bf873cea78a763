"""Fine-tuning: train on what is labelled now and do nothing against forgetting.

Idea: the lower bound every other method is measured against. Old classes are not labelled in the
disjoint and overlapped settings, so that the cross entropy itself teaches the model to call them
background. On a protocol with all classes in one step (``<dataset>-joint``) it is the upper bound.

    loss = mean over labelled pixels of -log p(y)

Hyper-parameters: none. Verified: the term against a value computed by hand. Departures: none.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.losses import cross_entropy
from benchmark.method import Batch, Method, Output, State, StepView
from benchmark.model import SegModel


@dataclass(frozen=True)
class FineTune(Method):
    """Cross entropy on the visible labels."""

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return the cross entropy of the visible labels."""
        return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
