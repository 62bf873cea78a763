"""A run without weights, data or hardware: the loop's own code on tensors that have a shape and no values.

Models are built on the meta device and their tensors exchanged for fake ones (:mod:`benchmark.fake`), which
go through every hook of a method and the training loop as real ones would, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)
from torch.optim import Optimizer

from benchmark.contract import Contract
from benchmark.data.loader import RawBatch
from benchmark.data.scenario import Plan, StepData, evaluation_table, visible_table
from benchmark.errors import MethodError
from benchmark.fake import FakeTensorTracker, copies_are_equal, fake_tensors, first_update, imagine
from benchmark.finding import Variant
from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import LiveTensorTracker, PhaseMemory
from benchmark.method import Batch, ParamGroup, StepView
from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset
from benchmark.protocol import Protocol
from benchmark.runtime import Runtime
from benchmark.steps import Carried, StepRunner, step_view
from benchmark.train import TrainState, make_train_state, train


class ImaginedAccelerator:
    """What the loop asks of an accelerator, without one."""

    def __init__(self, device: torch.device, bf16: bool) -> None:
        self.device = device
        self._bf16 = bf16

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of mixed precision."""
        return torch.autocast(self.device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Run backward."""
        loss.backward()


def imagined_runtime(preset: ModelPreset, device: torch.device) -> Runtime:
    """Return a runtime whose device need not exist."""
    accelerator = ImaginedAccelerator(device, preset.precision == "bf16")
    return Runtime(cast(Accelerator, accelerator), preset, seed=0)


def imagined_plan(protocol: Protocol) -> Plan:
    """Return the steps of a protocol with a batch of images each, and no data behind them."""
    images = np.arange(protocol.model.batch_size)
    rows = evaluation_table(protocol.order, protocol.background)
    steps = tuple(
        StepData(images, visible_table(protocol.steps, step, protocol.setting), rows)
        for step in range(len(protocol.steps))
    )
    nothing: Any = None
    return Plan(steps, train=nothing, test=nothing)


def built_on_meta(protocol: Protocol) -> SegModel:
    """Build the model of step 0 without allocating a weight. Outside of any FakeTensorMode."""
    with torch.device("meta"):
        return build_model(protocol.model, protocol.outputs(0), load_weights=False)


class ImaginedMeter(IterationMeter):
    """Follows tensors and counts FLOPs in every iteration, and lets the optimiser read its step count."""

    def __init__(self, device: torch.device, flops: FlopTracker | None, tensors: LiveTensorTracker) -> None:
        super().__init__(device, flops)
        self._tensors = tensors

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Enclose one iteration."""
        with super().iteration(), self._tensors:
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name a part of an iteration."""
        with super().part(name), first_update() if name == "optimiser" else nullcontext():
            yield


class NoLog:
    """Takes loss terms and forgets them."""

    def add(self, iteration: int, terms: Mapping[str, Tensor]) -> None:
        """Forget."""


class Iterated(NamedTuple):
    """What counted one iteration, with the optimiser's state in place as in any but the first."""

    flops: FlopTracker
    tensors: LiveTensorTracker


@dataclass(frozen=True)
class Stage:
    """A step of a protocol's, or several in a row gone through as one; ``index`` is the last one's."""

    index: int
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Lived:
    """A step prepared and not yet consolidated: what its iterations start from."""

    runner: ImaginedRunner
    index: int
    view: StepView
    contract: Contract
    carried: Carried
    groups: list[ParamGroup]

    def iterate(self) -> Iterated:
        """Go through one iteration of the preset's batch, counting FLOPs and following tensors."""
        flops = FlopTracker()
        return Iterated(flops, self._train(self.runner.protocol.model.batch_size, flops))

    def peak(self, batch: int) -> LiveTensorTracker:
        """Go through one iteration of ``batch`` images, following tensors alone."""
        return self._train(batch, None)

    @cached_property
    def shipped(self) -> SegModel:
        """What the method ships after the step, which is consolidated by asking for it."""
        runner, carried = self.runner, self.carried
        memory = PhaseMemory(runner.runtime.device)
        runner._pass("consolidate", self.view, carried, self.contract, memory)
        return runner.method.deploy(carried.model).eval()

    @cached_property
    def _progress(self) -> TrainState:
        preset = self.runner.protocol.model
        progress = make_train_state(self.carried.model, self.groups, preset, self.view, self.carried.state)
        _give_state(progress.optimiser)
        return progress

    def _train(self, batch: int, flops: FlopTracker | None) -> LiveTensorTracker:
        runner, carried, view = self.runner, self.carried, self.view
        progress, device = self._progress, runner.runtime.device
        progress.iteration = view.iterations - 1  # the contract looks at the values of a first iteration
        tensors = FakeTensorTracker(carried.model, carried.previous, progress.optimiser, carried.state)
        lesson = replace(
            runner._lesson(view, self.contract), batches=lambda start: repeat(runner.raw_batch(batch))
        )
        train(lesson, progress, carried.previous, ImaginedMeter(device, flops, tensors), NoLog())
        return tensors


@dataclass(frozen=True)
class ImaginedRunner(StepRunner):
    """Runs steps on fake batches: the hooks, their order and the iteration are those of a real run."""

    def lives(self, chosen: tuple[Stage, ...], carried: Carried, traced: Collection[int]) -> Iterator[Lived]:
        """Go through the stages and yield those to be traced, which are consolidated when one goes on."""
        for step, stage in enumerate(chosen):
            lived = self.begin(step, stage.index, carried)
            if stage.index in traced:
                yield lived
            carried.previous = self._teacher(carried.model, lived.shipped)
            if stage.index == max(traced):
                return

    def begin(self, step: int, index: int, carried: Carried) -> Lived:
        """Grow, adapt and prepare for ``step``, which is the protocol's ``index``."""
        view = replace(step_view(self.protocol, self.plan, step), iterations=2)
        contract = Contract(self.method, view)
        with copies_are_equal():
            groups = self._adapt(view, carried, contract)
        self._pass("prepare", view, carried, contract, PhaseMemory(self.runtime.device))
        return Lived(self, index, view, contract, carried, groups)

    def one_image(self) -> Tensor:
        """Return an image (1, 3, S, S) at the training crop."""
        size = self.protocol.model.image_size
        return torch.empty(1, 3, size, size, device=self.runtime.device)

    def raw_batch(self, batch: int) -> RawBatch:
        """Return ``batch`` images and their labels, as a loader would."""
        size, device = self.protocol.model.image_size, self.runtime.device
        image = torch.empty(batch, 3, size, size, dtype=torch.uint8, device=device)
        return RawBatch(image, torch.empty(batch, size, size, dtype=torch.uint8, device=device))

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        yield self._lesson(view, contract).batch(self.raw_batch(self.protocol.model.batch_size))


def _give_state(optimiser: Optimizer) -> None:
    """Let the optimiser make its buffers, as it does in a first update."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with first_update():
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def stages(steps: tuple[tuple[int, ...], ...], traced: Collection[int]) -> tuple[Stage, ...]:
    """Return what to go through, in order, to trace the steps named: up to the last of them.

    Steps in a row that are not traced are one stage, the first step apart: a model that gains their classes
    at once costs the same afterwards.
    """
    merged: list[Stage] = []
    for index, classes in enumerate(steps):
        if index > 1 and not {index, merged[-1].index} & {*traced}:
            merged[-1] = Stage(index, merged[-1].classes + classes)
        else:
            merged.append(Stage(index, classes))
    return tuple(merged)


@contextmanager
def imagined(
    protocol: Protocol, variant: Variant, device: torch.device, traced: Collection[int]
) -> Iterator[Iterator[Lived]]:
    """Enter a run that is none: yield its steps that are to be traced, each to be ended before the next.

    Raises MethodError for a method or model that reads values of tensors, which do not exist here, or
    uses an operator that cannot tell the shape of its result.
    """
    nothing: Any = None
    chosen = stages(protocol.steps, traced)
    protocol = replace(protocol, steps=tuple(stage.classes for stage in chosen))
    runtime, plan = imagined_runtime(protocol.model, device), imagined_plan(protocol)
    runner = ImaginedRunner(protocol, variant, plan, runtime, bases=nothing, log=nothing)
    model = built_on_meta(protocol)
    try:
        with fake_tensors():
            imagine(model, device)
            yield runner.lives(chosen, Carried(model, None, {}), traced)
    except RuntimeError as error:
        if (why := _unknowable(error)) is None:
            raise
        raise MethodError(
            f"method {variant.text!r} cannot be forecast on {protocol.model.name!r}: {why}"
        ) from error


def _unknowable(error: RuntimeError) -> str | None:
    """Return why tensors without values could not go on; None where something else is wrong."""
    if isinstance(error, (DataDependentOutputException, DynamicOutputShapeException)):
        return f"it depends on values of tensors ({error.func}), and in a forecast they have none"
    text = str(error)
    if "not supported for tensor subclasses" in text:
        return f"it depends on values of tensors ({text.partition(' ')[0]}), and in a forecast they have none"
    if isinstance(error, UnsupportedOperatorException) or "no fake impl" in text:
        return f"an operator does not say what shape its result has: {text.partition('. ')[0]}"
    return None
