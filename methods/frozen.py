"""Frozen encoder: transfer learning without LoRA, the lower bound of CLoRA.

Idea: after step 0 the encoder is not trained any more; decoder and classifier are, with the losses of
the method named by ``on``. What it forgets, it forgets in the head alone; what the encoder does not
see already, it cannot learn.

Paper: Muralidhara, Stricker, Schuster, "CLoRA: Parameter-Efficient Continual Learning with Low-Rank
Adaptation", CoLLAs 2025, arXiv 2507.19887: its transfer-learning baseline.

Verified: no parameter of the encoder receives a gradient after step 0; all do in it. Departures: none.
Methods that only act on the encoder (ILT's encoder term, SDR's terms on the encoder's features) are
constants here; they are allowed, because they cost nothing and say so in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.method import ParamGroup, StepView, trainable
from benchmark.model import SegModel
from methods._on_top import OnTop


@dataclass(frozen=True)
class Frozen(OnTop):
    """Encoder frozen after the base; decoder and classifier trained."""

    on: Literal["fine_tune", "ilt", "mib", "sdr", "plop"] = "mib"
    """Method whose losses train the head. ``mib``: as for CLoRA in its paper."""

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Freeze the encoder from step 1 on."""
        groups = self.inner.adapt(model, step)
        if step.index == 0:
            return groups
        model.encoder.requires_grad_(False)
        return trainable(model)
