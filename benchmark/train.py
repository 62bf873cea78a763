"""The training loop: there is no other one. Hooks in the order of :class:`benchmark.method.Method`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from benchmark.contract import Contract, ForwardGuard
from benchmark.data.loader import RawBatch
from benchmark.data.lookup import look_up
from benchmark.losses import cross_entropy
from benchmark.measure.iterations import IterationMeter
from benchmark.method import Batch, Method, Output, ParamGroup, State, StepView
from benchmark.model import SegModel
from benchmark.preset import ModelPreset
from benchmark.runtime import Runtime, full_precision

NO_NEEDS: frozenset[Any] = frozenset()


class TermLog(Protocol):
    """Takes the loss terms of every iteration."""

    def add(self, iteration: int, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of one iteration, detached, still on the device."""


class RandomState(NamedTuple):
    """State of every global random stream."""

    python: Any
    numpy: Any
    torch: Tensor
    cuda: list[Tensor]


@dataclass
class TrainState:
    """All that decides the next iteration, in one place: it can be written and read back."""

    model: SegModel
    optimiser: Optimizer
    schedule: LambdaLR
    state: State
    iteration: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values; the sampler's position is the iteration."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "state": dict(self.state),
            "iteration": self.iteration,
            "random": random_state(),
        }

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state_dict` returned; the model must have the same structure."""
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.schedule.load_state_dict(content["schedule"])
        self.state.clear()
        self.state.update(content["state"])
        self.iteration = content["iteration"]
        restore_random_state(content["random"])


def random_state() -> RandomState:
    """Return the state of the global random streams of Python, NumPy, torch and CUDA."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)


def restore_random_state(state: RandomState) -> None:
    """Set every global random stream."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)
    if state.cuda:
        torch.cuda.set_rng_state_all(state.cuda)


def make_train_state(
    model: SegModel, groups: list[ParamGroup], preset: ModelPreset, view: StepView, state: State
) -> TrainState:
    """Build the optimiser and the poly schedule (DeepLab's, power ``preset.poly_power``) of one step."""
    rate = preset.rate(view.index, len(view.new_classes))
    options: list[dict[str, Any]] = [
        {
            "params": list(group.params),
            "lr": rate * group.lr_factor,
            "weight_decay": preset.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in groups
    ]
    optimiser: Optimizer
    if preset.optimiser == "sgd":
        optimiser = SGD(options, lr=rate, momentum=preset.momentum, nesterov=preset.nesterov)
    else:
        optimiser = AdamW(options, lr=rate, fused=all(map(_dense, model.parameters())))
    total = max(view.iterations, 1)
    schedule = LambdaLR(optimiser, lambda i: (1 - min(i, total) / total) ** preset.poly_power)
    return TrainState(model, optimiser, schedule, state)


def _dense(parameter: Tensor) -> bool:
    """Whether its elements fill its memory: a fused update goes through that, in a third of the time."""
    return parameter.stride() == torch.empty_like(parameter).stride()


@dataclass(frozen=True)
class Lesson:
    """What one step trains with. ``method`` None is the shared step 0: plain cross entropy.

    ``table`` (256,) int64 on the device maps a dataset's label to the visible target; ``batches`` starts the
    stream of batches at an iteration.
    """

    method: Method | None
    contract: Contract
    view: StepView
    runtime: Runtime
    table: Tensor
    batches: Callable[[int], Iterator[RawBatch]]

    @property
    def needs(self) -> frozenset[Any]:
        """What the method needs beside logits and features."""
        return self.method.needs if self.method else NO_NEEDS

    def batch(self, raw: RawBatch) -> Batch:
        """Move a raw batch to the device, normalise it and show only the visible labels."""
        image = self.runtime.normalise(raw.image.to(self.runtime.device, non_blocking=True))
        return Batch(image, look_up(self.table, raw.label))

    def forward(self, model: SegModel, image: Tensor) -> Output:
        """Run a model once, in the preset's precision; the result is float32."""
        with self.runtime.accelerator.autocast():
            output = model(image, self.needs - {"previous"})
        return full_precision(output)


def train(
    lesson: Lesson, progress: TrainState, previous: SegModel | None, meter: IterationMeter, log: TermLog
) -> None:
    """Train one step from ``progress.iteration`` to its end. Last iterate only: nothing is selected."""
    progress.model.train()
    source = lesson.batches(progress.iteration)
    guard = ForwardGuard(lesson.contract, progress.model.encoder, previous and previous.encoder)
    try:
        while progress.iteration < lesson.view.iterations:
            with meter.iteration():
                with meter.waiting():
                    raw = next(source)
                terms = iterate(lesson, progress, previous, raw, guard, meter)
            log.add(progress.iteration, terms)
            progress.iteration += 1
    finally:
        guard.release()


def iterate(
    lesson: Lesson,
    progress: TrainState,
    previous: SegModel | None,
    raw: RawBatch,
    guard: ForwardGuard,
    meter: IterationMeter,
) -> dict[str, Tensor]:
    """Make one optimiser update and return the detached loss terms.

    The student and, if needed, the teacher run once each; the method gets both outputs.
    """
    model, batch = progress.model, lesson.batch(raw)
    before = None
    if previous is not None and "previous" in lesson.needs:
        with meter.part("teacher"), torch.no_grad():
            before = lesson.forward(previous, batch.image)
    with meter.part("student"):
        output = lesson.forward(model, batch.image)
    if progress.iteration == 0:
        lesson.contract.outputs(output, len(lesson.view.seen_classes) + 1)
    with meter.part("loss"), guard.closed():
        terms = _terms(lesson, progress, output, before, batch)
    if progress.iteration == 0:
        lesson.contract.terms(terms)
        lesson.contract.state("loss", progress.state)
    with meter.part("backward"):
        lesson.runtime.accelerator.backward(sum(terms.values()))
    if lesson.method:
        lesson.method.after_backward(model, lesson.view, progress.state)
    with meter.part("optimiser"):
        progress.optimiser.step()
    progress.schedule.step()
    progress.optimiser.zero_grad(set_to_none=True)
    return {name: term.detach() for name, term in terms.items()}


def _terms(
    lesson: Lesson, progress: TrainState, output: Output, before: Output | None, batch: Batch
) -> Mapping[str, Tensor]:
    if lesson.method is None:
        return {"cross_entropy": cross_entropy(output.logits, batch.target)}
    return lesson.method.loss(progress.model, output, before, batch, lesson.view, progress.state)
