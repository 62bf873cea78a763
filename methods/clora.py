"""CLoRA: continual low-rank adaptation.

Idea: freeze the encoder and learn every step's update in the same small set of weights, a low-rank
product beside the query and value projections. The set is reused and updated from step to step, never
merged into the training model and never added to; decoder and classifier train in full. Against
forgetting it needs a method's losses, any method's: MiB's by default.

    W x + B A x        A (rank x D) Gaussian, B (D x rank) zero: the identity at the start
    deployed:          W + B A, one fused matrix again: not a parameter more than the encoder had

Paper: Muralidhara, Stricker, Schuster, "CLoRA: Parameter-Efficient Continual Learning with Low-Rank
Adaptation", CoLLAs 2025, arXiv 2507.19887; LoRA: Hu et al., ICLR 2022, arXiv 2106.09685.

Verified: the identity at the start; only query and value move; the deployed copy's logits agree with
the training model's within 1e-4, and it has the parameters of an encoder without LoRA; the counts of
the paper's ViT, 3.217 M trainable of 305.17 M deployed. Departures: none known. LoRA's alpha is taken
to be the rank, so that the update is B A unscaled: we know of no published value. On convolutional
encoders, which the paper does not train, LoRA stands on the convolutions with one group, as peft
cannot merge others. An encoder of random weights cannot be frozen before it has learnt anything: its
step 0 is trained in full.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from benchmark.losses import cross_entropy
from benchmark.method import Batch, Output, ParamGroup, State, StepView, trainable
from benchmark.model import SegModel
from methods._lora import inject, lora_layers, merge_and_fuse, restart, train_lora_only
from methods._on_top import OnTop


@dataclass(frozen=True)
class CLoRA(OnTop):
    """LoRA in a frozen encoder, the same weights at every step, under another method's losses."""

    on: Literal["fine_tune", "ilt", "mib", "sdr", "plop"] = "mib"
    """Method whose losses train it. ``mib``: the paper's choice; it is agnostic to it."""

    rank: Annotated[int, Field(ge=1)] = 32
    """Rank of the update. 32: the paper; its ablation goes from 8 to 128."""

    reinit: bool = False
    """Merge LoRA after each step and start a new one, instead of reusing it. False: the paper's method;
    true is its ablation."""

    base: Literal["auto", "lora", "full"] = "auto"
    """How step 0 is trained: with LoRA, as in the paper, or in full. ``auto`` is full where the preset
    asks for random weights, LoRA otherwise."""

    @property
    def own_base(self) -> bool:
        """True where LoRA from the start was asked for."""
        return self.base == "lora" or self.inner.own_base

    def resolved(self, step: StepView) -> Mapping[str, str]:
        """Return how step 0 is trained."""
        return {**self.inner.resolved(step), "base": self._base(step)}

    def _base(self, step: StepView) -> Literal["lora", "full"]:
        if self.base == "auto":
            return "full" if step.weights == "random" else "lora"
        return self.base

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Inject LoRA once, freeze the rest of the encoder; with ``reinit`` restart it at each later step."""
        groups = self.inner.adapt(model, step)
        if step.index == 0 and self._base(step) == "full":
            return groups
        if not lora_layers(model.encoder):
            inject(model.encoder, self.rank)
        elif self.reinit and step.index:
            restart(model.encoder)
        train_lora_only(model.encoder)
        return trainable(model)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> Mapping[str, Tensor]:
        """Return the terms of the method below; plain cross entropy at step 0 unless that has its own."""
        if step.index == 0 and not self.inner.own_base:
            return {"cross_entropy": cross_entropy(output.logits, batch.target, step.ignore_index)}
        return self.inner.loss(model, output, previous_output, batch, step, state)

    def deploy(self, model: SegModel) -> SegModel:
        """Return a copy with LoRA merged and the projections fused; without LoRA, what is below ships."""
        shipped = self.inner.deploy(model)
        if not lora_layers(shipped.encoder):
            return shipped
        merged = copy.deepcopy(shipped)
        merge_and_fuse(merged.encoder)
        return merged
