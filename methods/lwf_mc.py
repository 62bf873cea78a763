"""LwF-MC: learning without forgetting, multi-class, which is iCaRL without exemplars.

Idea: every output is a binary classifier of its own, so that new classes do not push old ones down
through a softmax. Outputs of new classes learn the labels, those of old classes and background the
previous model's sigmoids. Step 0 is trained with the same loss.

    loss = mean over labelled pixels of the sum over outputs of BCE(sigmoid(z), target)
    target    1 at the label, 0 elsewhere, for new classes; the previous model's sigmoid for old outputs

Paper: Rebuffi, Kolesnikov, Sperl, Lampert, "iCaRL: Incremental Classifier and Representation Learning",
CVPR 2017, arXiv 1611.07725, algorithm 3; LwF-MC is its name for the variant without exemplars.

Hyper-parameters: none. Verified: the loss against values computed by hand and by a brute-force second
implementation. Departures: published segmentation code has two readings of it; this is iCaRL's own, one
loss in which old outputs see the previous model alone, not the labels' loss plus a weighted second one.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.losses import sigmoid_distillation
from benchmark.method import Batch, Method, Need, Output, State, StepView
from benchmark.model import SegModel


@dataclass(frozen=True)
class LwFMC(Method):
    """Binary cross entropy of every output."""

    @property
    def needs(self) -> frozenset[Need]:
        """The previous model."""
        return frozenset({"previous"})

    @property
    def own_base(self) -> bool:
        """True: step 0 learns with sigmoids too."""
        return True

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> dict[str, Tensor]:
        """Return the binary cross entropy to labels and previous model."""
        previous = None if previous_output is None else previous_output.logits
        loss = sigmoid_distillation(output.logits, previous, batch.target, step.ignore_index)
        return {"sigmoid_distillation": loss}
