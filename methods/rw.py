"""RW: Riemannian walk.

Idea: EWC's Fisher information says how sensitive the loss is to a parameter; a second score says how
much the parameter's path has lowered the loss, for the distance it went. Their sum weighs the penalty.

    loss = cross entropy + penalty * sum of W (p - p_old)^2
    every iteration    F := rate g^2 + (1 - rate) F, from 1
    every 10th         S += g (p_prev - p) / (F (p - p_prev)^2 / 2 + 1e-8), p_prev of ten iterations ago
    after a step       S clipped at 0, averaged with the S of the steps before
    W                  F + S, each scaled to 0..1 in each tensor

Paper: Chaudhry, Dokania, Ajanthan, Torr, "Riemannian Walk for Incremental Learning: Understanding
Forgetting and Intransigence", ECCV 2018, arXiv 1801.10112.

Verified: F, S, W and the penalty against a plain second implementation over several iterations and steps;
the penalty's own gradient reaches neither. Departures: the scaling to 0..1 in each tensor is that of the
published segmentation code, whose weight goes with it; the paper's stored examples are left out.
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
from methods._importance import Gradients, ImportanceMethod, Named, copies, filled, fisher_average

EPSILON = 1e-8


@dataclass(frozen=True)
class RW(ImportanceMethod):
    """Cross entropy and a penalty weighted by Fisher information and path."""

    key: ClassVar[str] = "rw"
    kept: ClassVar[tuple[str, ...]] = ("fisher", "score")

    penalty: Annotated[float, Field(ge=0)] = 100.0
    """Weight of the penalty. 100: MiB's and PLOP's code; SDR's code has 1000."""

    rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of the newest squared gradient in F. 0.9: MiB's, PLOP's and SDR's code."""

    every: Annotated[int, Field(ge=1)] = 10
    """Iterations between two updates of S. 10: MiB's, PLOP's and SDR's code."""

    def importance(self, state: State) -> Named:
        """Return the sum of the scaled F and S of earlier steps."""
        scores = self.get(state, "score")
        fishers = self.get(state, "fisher")
        return {name: scaled_importance(fishers[name]) + scaled_importance(s) for name, s in scores.items()}

    def begin(self, values: Mapping[str, Tensor], state: State) -> None:
        """Start F at 1 for parameters that are new, the step's path at 0 for all."""
        self.put(state, "fisher", filled(values, 1.0) | self.get(state, "fisher"))
        self.put(state, "path", filled(values, 0.0))
        self.put(state, "before", copies(values))
        state["rw.iteration"] = torch.tensor(0)  # on the CPU: reading it waits for no GPU

    @torch.no_grad()
    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Update S every 10th iteration, with the F from before this one; then F."""
        walks = int(state["rw.iteration"]) % self.every == 0
        state["rw.iteration"] = state["rw.iteration"] + 1
        for found in self.gradients(model, state):
            fisher = self.pick(state, "fisher", found.names)
            if walks:
                self._walk(found, fisher, state)
            fisher_average(fisher, found.gradients, self.rate)

    def _walk(self, found: Gradients, fisher: list[Tensor], state: State) -> None:
        before = self.pick(state, "before", found.names)
        moved = torch._foreach_sub(before, found.values)
        length = torch._foreach_mul(moved, moved)
        torch._foreach_mul_(length, fisher)
        torch._foreach_mul_(length, 0.5)
        torch._foreach_add_(length, EPSILON)
        torch._foreach_mul_(moved, found.gradients)
        torch._foreach_addcdiv_(self.pick(state, "path", found.names), moved, length)
        torch._foreach_copy_(before, found.values)

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Average the step's S with that of the steps before."""
        old = self.get(state, "score")
        for name, path in self.get(state, "path").items():
            new = path.clamp(min=0)
            state[f"rw.score.{name}"] = (new + old[name]) / 2 if name in old else new
        super().consolidate(model, batches, step, state)
