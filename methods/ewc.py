"""EWC: elastic weight consolidation.

Idea: parameters that the loss of earlier steps was sensitive to are held where they were. How sensitive is
read from the squared gradients, the diagonal of the Fisher information, averaged while training.

    loss = cross entropy + penalty * sum of W (p - p_old)^2
    every iteration    F := rate g^2 + (1 - rate) F, from 1
    W                  F of the steps before, scaled to 0..1 in each tensor

Paper: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv
1612.00796; the running average: Chaudhry et al., ECCV 2018, arXiv 1801.10112.

Verified: F, W and the penalty against a plain second implementation over several iterations and steps;
the penalty's own gradient never reaches F. Departures: the running average and the scaling to 0..1
without the factor 1/2 are those of the published segmentation code, whose weight goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from benchmark.losses import scaled_importance
from benchmark.method import State, StepView
from benchmark.model import SegModel
from methods._importance import ImportanceMethod, Named, filled, fisher_average


@dataclass(frozen=True)
class EWC(ImportanceMethod):
    """Cross entropy and a penalty weighted by the Fisher information."""

    key: ClassVar[str] = "ewc"
    kept: ClassVar[tuple[str, ...]] = ("fisher",)

    penalty: Annotated[float, Field(ge=0)] = 500.0
    """Weight of the penalty. 500: MiB's code; SDR's code has 1000, PLOP's 100."""

    rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the newest squared gradient in F. 0.9: MiB's, PLOP's and SDR's code."""

    def importance(self, state: State) -> Named:
        """Return the scaled F of earlier steps."""
        return {name: scaled_importance(fisher) for name, fisher in self.get(state, "fisher").items()}

    def begin(self, values: Mapping[str, Tensor], state: State) -> None:
        """Start F at 1 for parameters that are new."""
        self.put(state, "fisher", filled(values, 1.0) | self.get(state, "fisher"))

    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Update F."""
        for found in self.gradients(model, state):
            fisher_average(self.pick(state, "fisher", found.names), found.gradients, self.rate)
