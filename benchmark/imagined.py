"""A run without weights, data or hardware: the loop's own code on tensors that have a shape and no values.

Models are built on the meta device and their tensors exchanged for fake ones, which go through every
hook of a method and the training loop as real ones would, and cost nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.contract import Contract
from benchmark.data.loader import RawBatch
from benchmark.data.scenario import Plan, StepData, evaluation_table, visible_table
from benchmark.errors import MethodError
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
from benchmark.train import Lesson, make_train_state, train


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


def imagine(model: nn.Module, device: torch.device) -> None:
    """Exchange all tensors of ``model`` for fake ones on ``device``, in place. Inside a FakeTensorMode."""
    known: dict[int, Tensor] = {}
    for module in model.modules():
        both: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for slots in both:
            for name, value in slots.items():
                if value is not None:
                    slots[name] = known.setdefault(id(value), _fake(value, device))


def _fake(value: Tensor, device: torch.device) -> Tensor:
    fake = torch.empty(value.shape, dtype=value.dtype, device=device)
    return nn.Parameter(fake, value.requires_grad) if isinstance(value, nn.Parameter) else fake


class _Mode(FakeTensorMode):
    """A fake tensor holds its mode; a deep copy of the tensor must not take one of the mode along.

    torch would, and then free the weak references to storages in it twice.
    """

    def __deepcopy__(self, memo: Any) -> _Mode:
        return self


@contextmanager
def fake_tensors() -> Iterator[None]:
    """Enter the mode in which all here runs; look-up tables made from arrays are taken in as they are."""
    apply = nn.Module._apply
    nn.Module._apply = _replacing_apply  # type: ignore[method-assign]
    try:
        with warnings.catch_warnings(), _Mode(allow_non_fake_inputs=True):
            # torch's own deep copy asks whether a tensor has data, and is right about the answer
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            yield
    finally:
        nn.Module._apply = apply  # type: ignore[method-assign]


@torch.no_grad()
def _replacing_apply(self: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Stand in for ``Module._apply``, which swaps tensors in place and refuses to for fake ones."""
    for module in self.modules() if recurse else [self]:
        both: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for slots in both:
            for name, value in slots.items():
                if value is not None and (moved := fn(value)) is not value:
                    is_parameter = isinstance(value, nn.Parameter)
                    slots[name] = nn.Parameter(moved, value.requires_grad) if is_parameter else moved
    return self


class Granted(TorchDispatchMode):
    """Answers one question about values that the harness itself asks; a method that asks for values fails."""

    def __init__(self, question: Any, answer: object) -> None:
        super().__init__()
        self._question, self._answer = question, answer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._answer if func is self._question else func(*args, **(kwargs or {}))


def copies_are_equal() -> Granted:
    """Answer ``torch.equal``: a frozen parameter and its copy in the previous model have not parted."""
    return Granted(torch.ops.aten.equal.default, True)


def first_update() -> Granted:
    """Answer ``Tensor.item``: the optimiser's step count is 1."""
    return Granted(torch.ops.aten._local_scalar_dense.default, 1.0)


class ImaginedMeter(IterationMeter):
    """Counts FLOPs and follows tensors in every iteration, and lets the optimiser read its step count."""

    def __init__(self, device: torch.device, flops: FlopTracker, tensors: LiveTensorTracker) -> None:
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


class Traced(NamedTuple):
    """A step gone through; ``shipped`` is what the method deploys after it."""

    model: SegModel
    groups: list[ParamGroup]
    shipped: SegModel
    iterated: Iterated | None


@dataclass(frozen=True)
class ImaginedRunner(StepRunner):
    """Runs steps on fake batches: the hooks, their order and the iteration are those of a real run."""

    def trace(self, step: int, carried: Carried, iterate: bool) -> Traced:
        """Go through one step, with an iteration where asked; ``carried`` becomes the next one's start."""
        view = replace(step_view(self.protocol, self.plan, step), iterations=2)
        contract = Contract(self.method, view)
        with copies_are_equal():
            groups = self._adapt(view, carried, contract)
        memory = PhaseMemory(self.runtime.device)
        self._pass("prepare", view, carried, contract, memory)
        iterated = self._iterate(view, carried, groups, contract) if iterate else None
        self._pass("consolidate", view, carried, contract, memory)
        shipped = self.method.deploy(carried.model).eval()
        carried.previous = self._teacher(carried.model, shipped)
        return Traced(carried.model, groups, shipped, iterated)

    def one_image(self) -> Tensor:
        """Return an image (1, 3, S, S) at the training crop."""
        size = self.protocol.model.image_size
        return torch.empty(1, 3, size, size, device=self.runtime.device)

    def _iterate(
        self, view: StepView, carried: Carried, groups: list[ParamGroup], contract: Contract
    ) -> Iterated:
        progress = make_train_state(carried.model, groups, self.protocol.model, view, carried.state)
        _give_state(progress.optimiser)
        progress.iteration = view.iterations - 1  # the contract looks at the values of a first iteration
        flops = FlopTracker()
        tensors = LiveTensorTracker(carried.model, carried.previous, progress.optimiser, carried.state)
        meter = ImaginedMeter(self.runtime.device, flops, tensors)
        train(self._lesson(view, contract), progress, carried.previous, meter, NoLog())
        return Iterated(flops, tensors)

    def _raw(self) -> RawBatch:
        preset, device = self.protocol.model, self.runtime.device
        shape = (preset.batch_size, preset.image_size, preset.image_size)
        image = torch.empty(shape[0], 3, *shape[1:], dtype=torch.uint8, device=device)
        return RawBatch(image, torch.empty(shape, dtype=torch.uint8, device=device))

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        yield self._lesson(view, contract).batch(self._raw())

    def _lesson(self, view: StepView, contract: Contract) -> Lesson:
        return replace(super()._lesson(view, contract), batches=lambda start: repeat(self._raw()))


def _give_state(optimiser: Optimizer) -> None:
    """Let the optimiser make its buffers, as it does in a first update."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with first_update():
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)


@contextmanager
def imagined(
    protocol: Protocol, variant: Variant, device: torch.device
) -> Iterator[tuple[ImaginedRunner, Carried]]:
    """Enter a run that is none: yield its runner and what step 0 starts from.

    Raises MethodError for a method that reads values of tensors, which do not exist here.
    """
    nothing: Any = None
    runtime, plan = imagined_runtime(protocol.model, device), imagined_plan(protocol)
    runner = ImaginedRunner(protocol, variant, plan, runtime, bases=nothing, log=nothing)
    model = built_on_meta(protocol)
    try:
        with fake_tensors():
            imagine(model, device)
            yield runner, Carried(model, None, {})
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise MethodError(
            f"method {variant.text!r} cannot be forecast: what it does depends on values of tensors "
            f"({error.func}), and in a forecast they have none"
        ) from error
