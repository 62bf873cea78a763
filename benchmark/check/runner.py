"""Runs of the toy protocol with the harness's own hooks, order, loop and contract, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from benchmark.check.bits import copied, same_bits, through_bytes
from benchmark.check.toy import Toy, ToyData
from benchmark.check.trace import StepTrace, Variation
from benchmark.check.watch import Watch
from benchmark.contract import Contract, fingerprint
from benchmark.data.loader import RawBatch
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.measure.undisturbed import undisturbed
from benchmark.method import Batch, Method, ParamGroup, StepView
from benchmark.model import SegModel
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


class NoMemory(PhaseMemory):
    """Follows no tensor."""

    def track(self, *args: Any, **kwargs: Any) -> Any:
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

        with suppress(_InterruptedError):
            self._train_on(replace(lesson, batches=until_break), progress, carried)
        saved = through_bytes(
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
        if not same_bits(one, other):
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
