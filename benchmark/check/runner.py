"""Runs of the toy protocol with the harness's own hooks, order, loop and contract, and what they leave."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from benchmark.check.bits import Tensors, copied, first_change
from benchmark.check.findings import Findings
from benchmark.check.toy import STEPS, Marks, Toy, ToyData
from benchmark.check.watch import Watch
from benchmark.contract import Contract, fingerprint
from benchmark.data.loader import RawBatch
from benchmark.finding import Variant, find_method
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.measure.undisturbed import undisturbed
from benchmark.method import Batch, Method, ParamGroup, StepView
from benchmark.model import SegModel
from benchmark.runtime import start_runtime
from benchmark.shipping import freeze, ship
from benchmark.steps import Carried, StepRunner, step_view
from benchmark.train import (
    Lesson,
    TrainState,
    make_train_state,
    random_state,
    restore_random_state,
    train,
)

BREAK = 1
"""Iterations before a step is interrupted, saved and restored."""


@dataclass(frozen=True)
class Variation:
    """What is different from the plain run, and must make no difference."""

    decoys: bool = False
    scored: bool = False
    restored: bool = False


@dataclass
class StepTrace:
    """What a step left: loss terms by iteration, model and state after it, batches shown by place."""

    terms: list[Mapping[str, Tensor]] = field(default_factory=list)
    shown: list[tuple[str, Batch]] = field(default_factory=list)
    model: Tensors = field(default_factory=dict)
    state: Tensors = field(default_factory=dict)

    def add(self, iteration: int, terms: Mapping[str, Tensor]) -> None:
        """Take the terms of one iteration."""
        self.terms.append(copied(terms))

    def difference(self, other: StepTrace) -> str | None:
        """Return where another trace of the same step first differs."""
        if len(self.terms) != len(other.terms):
            return f"number of iterations, {len(self.terms)} and {len(other.terms)}"
        for iteration, (mine, theirs) in enumerate(zip(self.terms, other.terms, strict=True)):
            if name := first_change(mine, theirs):
                return f"term {name!r} of iteration {iteration}"
        if name := first_change(self.model, other.model):
            return f"{name!r} of the model"
        if name := first_change(self.state, other.state):
            return f"state {name!r}"
        return None


class NoMemory(PhaseMemory):
    """Follows no tensor."""

    def track(self, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()


class _InterruptedError(Exception):
    """The run was stopped between two iterations."""


@dataclass(frozen=True)
class ToyRunner(StepRunner):
    """Runs the steps of a toy; ``data`` is told which step it is."""

    toy: Toy = field(kw_only=True)
    data: ToyData = field(kw_only=True)
    variation: Variation = field(kw_only=True)
    again: Callable[[], Method] = field(kw_only=True)
    traces: list[StepTrace] = field(kw_only=True, default_factory=list)

    @property
    def watch(self) -> Watch:
        """The adapter under watch."""
        assert isinstance(self.method, Watch)
        return self.method

    def view(self, step: int) -> StepView:
        """Return what a method may know of a step."""
        return replace(step_view(self.protocol, self.plan, step), weights=self.toy.weights)

    def live(self, step: int, carried: Carried) -> None:
        """Go through one step as a run does, without measuring."""
        self.data.now = step
        self.traces.append(StepTrace())
        view = self.view(step)
        contract = Contract(self.method, view)
        groups = self._adapt(view, carried, contract)
        with self._previous_kept("prepare", carried, contract):
            self._pass("prepare", view, carried, contract, self._memory)
        with self._previous_kept("loss", carried, contract):
            self._teach(view, carried, groups, contract)
        self._pass("consolidate", view, carried, contract, self._memory)
        shipped = ship(self.method, carried.model, contract, self.protocol.outputs(step))
        self._check_shipped(shipped, contract)
        for _ in range(2 if self.variation.scored else 0):
            self._scorer.score(shipped, contract, self._memory)
        self.traces[-1].model = copied(carried.model.state_dict())
        self.traces[-1].state = copied(carried.state)
        carried.previous = self._teacher(carried.model, shipped)

    @contextmanager
    def _previous_kept(self, hook: str, carried: Carried, contract: Contract) -> Iterator[None]:
        before = fingerprint(carried.previous) if carried.previous else None
        yield
        if before is not None and carried.previous is not None:
            contract.unchanged(hook, "the previous model", before, fingerprint(carried.previous))

    def _teach(self, view: StepView, carried: Carried, groups: list[ParamGroup], contract: Contract) -> None:
        self.runtime.reseed("train", view.index)
        lesson = self._lesson(view, contract)
        progress = make_train_state(carried.model, groups, self.protocol.model, view, carried.state)
        self.watch.begin_training(carried.model)
        if self.variation.scored:
            lesson = replace(lesson, batches=self._scoring(lesson, carried))
        if self.variation.restored and lesson.method is not None:
            progress = self._interrupted(lesson, progress, carried)
        self._train_on(lesson, progress, carried)
        self.watch.end_training(carried.model, view)

    def _train_on(self, lesson: Lesson, progress: TrainState, carried: Carried) -> None:
        meter = IterationMeter(self.runtime.device)
        with meter.phase():
            train(lesson, progress, carried.previous, meter, self.traces[-1])

    def _interrupted(self, lesson: Lesson, progress: TrainState, carried: Carried) -> TrainState:
        """Stop in mid-step, write everything, and read it back into a model built anew."""

        def until_break(start: int) -> Iterator[RawBatch]:
            source = lesson.batches(start)
            for _ in range(BREAK):
                yield next(source)
            raise _InterruptedError

        try:
            self._train_on(replace(lesson, batches=until_break), progress, carried)
        except _InterruptedError:
            pass
        saved = _through_bytes(
            [progress.state_dict(), carried.previous.state_dict() if carried.previous else None]
        )
        return self._restored(lesson.view, carried, *saved)

    def _restored(
        self, view: StepView, carried: Carried, saved: Any, previous: dict[str, Tensor] | None
    ) -> TrainState:
        self.watch.inner = self.again()
        fresh = self.start()
        groups: list[ParamGroup] = []
        for step in range(view.index + 1):
            earlier = self.view(step)
            groups = self._adapt(earlier, fresh, Contract(self.method, earlier))
            if step == view.index - 1 and previous is not None:
                fresh.previous = freeze(fresh.model, self.method.deploy(fresh.model), self.runtime.device)
                fresh.previous.load_state_dict(previous)
        progress = make_train_state(fresh.model, groups, self.protocol.model, view, fresh.state)
        progress.load_state_dict(saved)
        carried.model, carried.previous, carried.state = fresh.model, fresh.previous, fresh.state
        self.watch.carry_on(fresh.previous)
        return progress

    def _scoring(self, lesson: Lesson, carried: Carried) -> Callable[[int], Iterator[RawBatch]]:
        """Score what would be shipped now before each batch, as if a curve were wanted."""

        def batches(start: int) -> Iterator[RawBatch]:
            for raw in lesson.batches(start):
                random = random_state()
                with undisturbed(carried.model, self.runtime.device):
                    shipped = self.method.deploy(carried.model)
                    self._scorer.score(shipped.eval(), lesson.contract, self._memory)
                restore_random_state(random)
                yield raw

        return batches

    def _check_shipped(self, shipped: SegModel, contract: Contract) -> None:
        """Two passes over an image of odd sides: finite, right in shape, and twice the same."""
        image = torch.randn(1, 3, 37, 50, generator=torch.Generator().manual_seed(0))
        where, findings = f"after step {contract.step.index}", self.watch.findings
        with torch.no_grad():
            one, other = (shipped(image).logits for _ in range(2))
        contract.shipped(one, outputs := self.protocol.outputs(contract.step.index))
        if one.shape != (1, outputs, 37, 50):
            findings.fail(
                "shipped model",
                f"{where} the logits of an image of 37 x 50 are {tuple(one.shape)}, expected "
                f"{(1, outputs, 37, 50)}",
            )
        if not bool(one.isfinite().all()):
            findings.fail("shipped model", f"{where} its logits are not finite")
        if not torch.equal(one, other):
            findings.fail("evaluation", f"{where} the shipped model gives other logits the second time")

    @property
    def _memory(self) -> PhaseMemory:
        return NoMemory(self.runtime.device)

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        for number, batch in enumerate(super()._ordered(view, carried, contract, memory)):
            self.traces[-1].shown.append((f"ordered {number}", Batch(*(t.clone() for t in batch))))
            yield batch

    def _lesson(self, view: StepView, contract: Contract) -> Lesson:
        lesson = super()._lesson(view, contract)

        def batches(start: int) -> Iterator[RawBatch]:
            for number, raw in enumerate(lesson.batches(start), start):
                self.traces[-1].shown.append((f"trained {number}", lesson.batch(raw)))
                yield raw

        return replace(lesson, batches=batches)


@dataclass(frozen=True)
class Result:
    """What a run left, and what ended it early (None: nothing)."""

    runner: ToyRunner
    traces: list[StepTrace]
    error: Exception | None


def run_toy(spec: str, toy: Toy, variation: Variation, findings: Findings) -> Result:
    """Run a method on a toy, its source loaded anew, so that no run finds what another one left."""

    def again() -> Method:
        _forget_methods()
        return find_method(spec).method

    with _methods_apart():
        runner = _runner(again, toy, variation, findings)
        error: Exception | None = None
        try:
            with runner.watch.counting():
                carried = runner.start()
                for step in range(len(STEPS)):
                    runner.live(step, carried)
        except Exception as failure:
            error = failure
    return Result(runner, runner.traces, error)


def _runner(again: Callable[[], Method], toy: Toy, variation: Variation, findings: Findings) -> ToyRunner:
    data = ToyData(toy.setting, variation.decoys)
    plan, nothing = toy.plan(data), None
    original = toy.plan(ToyData(toy.setting, decoys=False)).train
    watch = Watch(again(), findings, Marks(original, toy.preset))
    unused: Any = nothing
    return ToyRunner(
        toy.protocol(variation.decoys),
        Variant(watch, watch.name, {}, ""),
        plan,
        start_runtime("cpu", toy.preset, seed=0),
        bases=unused,
        log=unused,
        toy=toy,
        data=data,
        variation=variation,
        again=again,
    )


@contextmanager
def _methods_apart() -> Iterator[None]:
    """Put modules of methods back after the block as they were before it."""
    before = _method_modules()
    try:
        yield
    finally:
        _forget_methods()
        sys.modules.update(before)
        for name, module in before.items():
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, module)


def _method_modules() -> dict[str, Any]:
    return {name: m for name, m in sys.modules.items() if name.startswith(("methods.", "cssbench_method_"))}


def _forget_methods() -> None:
    for name in _method_modules():
        del sys.modules[name]


def _through_bytes(content: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)
