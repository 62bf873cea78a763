"""What a method that works on top of another one has in common: every hook is passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from torch import Tensor

from benchmark.method import Batch, Method, Need, Output, ParamGroup, State, StepView, other
from benchmark.model import SegModel


class OnTop(Method):
    """Base of methods with a hyper-parameter ``on``: the name of the method they add to."""

    on: str

    @cached_property
    def inner(self) -> Method:
        """The method below, with its defaults."""
        return other(self.on)

    @property
    def needs(self) -> frozenset[Need]:
        """What the method below needs."""
        return self.inner.needs

    @property
    def own_base(self) -> bool:
        """Whether the method below changes step 0."""
        return self.inner.own_base

    def resolved(self, step: StepView) -> Mapping[str, str]:
        """Return what the method below decided."""
        return self.inner.resolved(step)

    def adapt(self, model: SegModel, step: StepView) -> list[ParamGroup]:
        """Let the method below change structure."""
        return self.inner.adapt(model, step)

    def prepare(
        self,
        model: SegModel,
        previous: SegModel | None,
        batches: Iterable[Batch],
        step: StepView,
        state: State,
    ) -> None:
        """Let the method below prepare."""
        self.inner.prepare(model, previous, batches, step, state)

    def loss(
        self,
        model: SegModel,
        output: Output,
        previous_output: Output | None,
        batch: Batch,
        step: StepView,
        state: State,
    ) -> Mapping[str, Tensor]:
        """Return the terms of the method below."""
        return self.inner.loss(model, output, previous_output, batch, step, state)

    def after_backward(self, model: SegModel, step: StepView, state: State) -> None:
        """Let the method below read gradients."""
        self.inner.after_backward(model, step, state)

    def consolidate(self, model: SegModel, batches: Iterable[Batch], step: StepView, state: State) -> None:
        """Let the method below consolidate."""
        self.inner.consolidate(model, batches, step, state)

    def deploy(self, model: SegModel) -> SegModel:
        """Return what the method below ships."""
        return self.inner.deploy(model)
