"""SI: synaptic intelligence, also called path integral (PI).

Idea: a parameter matters as much as its path through training has lowered the loss, over the distance
it went. Each parameter keeps its own account while training, from gradient times movement.

    loss = cross entropy + penalty * sum of W (p - p_old)^2
    every iteration    D += g (p_prev - p), p_prev of the iteration before
    after a step       score += max(D / ((p_end - p_start)^2 + 1e-20), 0)
    W                  score of the steps before, scaled to 0..1 in each tensor

Paper: Zenke, Poole, Ganguli, "Continual Learning Through Synaptic Intelligence", ICML 2017, arXiv 1703.04200.

Verified: D, score, W and the penalty against a plain second implementation over several iterations and
steps; the penalty's own gradient never reaches D. Departures: the damping 1e-20 and the scaling to 0..1
in each tensor are those of the published segmentation code, whose weight goes with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark.losses import scaled_importance
from benchmark.method import Batch, State, StepView
from benchmark.model import SegModel
from methods._importance import ImportanceMethod, Named, copies, filled, trained

DAMPING = 1e-20


@dataclass(frozen=True)
class SI(ImportanceMethod):
    """Cross entropy and a penalty weighted by each parameter's part in what was learnt."""

    key: ClassVar[str] = "si"
    kept: ClassVar[tuple[str, ...]] = ("score",)

    penalty: Annotated[float, Field(ge=0)] = 500.0
    """Weight of the penalty. 500: MiB's code; SDR's code has 1000, PLOP's 100."""

    def importance(self, state: State) -> Named:
        """Return the scaled score of earlier steps."""
        return {name: scaled_importance(score) for name, score in self.get(state, "score").items()}

    def begin(self, values: Mapping[str, Tensor], state: State) -> None:
        """Start the step's account at 0."""
        self.put(state, "path", filled(values, 0.0))
        self.put(state, "before", copies(values))

    @torch.no_grad()
    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Add gradient times the movement that the last update made."""
        for found in self.gradients(model, state):
            before = self.pick(state, "before", found.names)
            torch._foreach_sub_(before, found.values)
            torch._foreach_addcmul_(self.pick(state, "path", found.names), found.gradients, before)
            torch._foreach_copy_(before, found.values)

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Add what the step taught to the score."""
        old, start = self.get(state, "score"), self.get(state, "anchor")
        for name, value in trained(model).items():
            path = state[f"si.path.{name}"]
            new = (path / ((value - start[name]).square() + DAMPING)).clamp(min=0)
            state[f"si.score.{name}"] = (old[name] + new if name in old else new).detach()
        super().consolidate(model, batches, step, state)
