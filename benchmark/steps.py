"""The life of one step: grow, adapt, prepare, train, consolidate, deploy, score; costs on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch

from benchmark.base import BaseStore, StoredBase, base_digest
from benchmark.contract import Contract, fingerprint
from benchmark.costs import TrainCosts, train_costs, with_phases
from benchmark.data.loader import RawBatch, iterations_per_epoch, ordered_batches, pinned, train_batches
from benchmark.data.scenario import Plan
from benchmark.evaluate import ImageCounts
from benchmark.finding import Variant
from benchmark.measure.energy import EnergyMeter
from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.measure.params import tensor_bytes
from benchmark.measure.timing import PhaseClock
from benchmark.method import Batch, Method, ParamGroup, State, StepView
from benchmark.model import SegModel, build_model
from benchmark.pictures import PictureBook
from benchmark.protocol import Protocol
from benchmark.record import StepRecord
from benchmark.runtime import Runtime
from benchmark.shipping import Scorer, freeze, share_frozen, ship
from benchmark.termlog import DivergedError, TermLog
from benchmark.train import Lesson, make_train_state, train


@dataclass
class Carried:
    """What goes from one step to the next: the training model, its frozen shipped copy, the state."""

    model: SegModel
    previous: SegModel | None
    state: State


@dataclass(frozen=True)
class StepResult:
    """The record of a step and its confusion matrices by image."""

    record: StepRecord
    images: ImageCounts


@dataclass(frozen=True)
class BatchPass:
    """One pass over a step's data in fixed order, as a method may iterate it, visible labels only."""

    batches: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()


def step_view(protocol: Protocol, plan: Plan, step: int) -> StepView:
    """Return what a method may know of a step."""
    new = protocol.channels(step)
    epoch = iterations_per_epoch(len(plan.steps[step].images), protocol.model.batch_size)
    return StepView(
        index=step,
        old_classes=tuple(range(1, new[0])),
        new_classes=new,
        iterations=epoch * protocol.epochs,
        setting=protocol.setting,
        weights="random" if protocol.model.pretrained == "random" else "pretrained",
    )


def _mark(model: SegModel | None) -> torch.Tensor:
    return torch.zeros(0) if model is None else fingerprint(model)


@dataclass(frozen=True)
class StepRunner:
    """Runs the steps of one run, in order. ``log`` opens the log of a step's loss terms."""

    protocol: Protocol
    variant: Variant
    plan: Plan
    runtime: Runtime
    bases: BaseStore
    log: Callable[[StepView], AbstractContextManager[TermLog]]
    on_scored: Callable[[int], object] = lambda images: None
    workers: int = 0
    pictures: PictureBook | None = None

    @property
    def method(self) -> Method:
        """The adapter."""
        return self.variant.method

    def start(self) -> Carried:
        """Build the model of step 0; its random weights depend on the seed alone."""
        self.runtime.reseed("initialise", 0)
        model = build_model(self.protocol.model, self.protocol.outputs(0))
        return Carried(model.to(self.runtime.device), None, {})

    def run(self, step: int, carried: Carried) -> StepResult:
        """Train and score one step; ``carried`` becomes what the next step starts from."""
        view = step_view(self.protocol, self.plan, step)
        contract = Contract(self.method, view)
        clock, memory = PhaseClock(self.runtime.device), PhaseMemory(self.runtime.device)
        groups = self._adapt(view, carried, contract)
        before = _mark(carried.previous)
        with clock.phase("prepare"), memory.phase("prepare"):
            self._pass("prepare", view, carried, contract, memory)
        contract.unchanged("prepare", "the previous model", before, _mark(carried.previous))
        costs, base = self._train(view, carried, groups, contract, memory)
        with clock.phase("consolidate"), memory.phase("consolidate"):
            self._pass("consolidate", view, carried, contract, memory)
        shipped = ship(self.method, carried.model, contract, self.protocol.outputs(step))
        with clock.phase("evaluate"), memory.phase("evaluate"):
            scores = self._scorer.score(shipped, contract, memory)
        record = StepRecord(
            index=step,
            classes=view.new_classes,
            images=len(self.plan.steps[step].images),
            iterations=view.iterations,
            confusion=tuple(tuple(row) for row in scores.matrix.tolist()),
            losses=costs.losses,
            parameters=self._scorer.parameters(carried.model, shipped, groups),
            compute=self._scorer.compute(carried.model, shipped, costs.compute),
            seconds=with_phases(costs.seconds, **clock.seconds),
            peak_bytes={**memory.peaks, "train": costs.peak_bytes},
            state_bytes=tensor_bytes(carried.state),
            checkpoint_bytes=tensor_bytes(shipped.state_dict()),
            latency_seconds=self._scorer.latency(shipped),
            energy_joules=costs.energy_joules,
            gpu_utilisation_percent=costs.gpu_utilisation_percent,
            energy_notes=costs.energy_notes,
            base=base,
        )
        if self.pictures is not None:  # after all that is measured
            self._scorer.picture(shipped, self.pictures)
        if step + 1 < len(self.protocol.steps):
            carried.previous = self._teacher(carried.model, shipped)
        return StepResult(record, scores.images)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.protocol, self.plan, self.runtime, self.on_scored)

    def _teacher(self, model: SegModel, shipped: SegModel) -> SegModel | None:
        """Keep a teacher only for a method that needs one."""
        return freeze(model, shipped, self.runtime.device) if "previous" in self.method.needs else None

    def _adapt(self, view: StepView, carried: Carried, contract: Contract) -> list[ParamGroup]:
        if view.index:
            self.runtime.reseed("grow", view.index)
            carried.model.grow(len(view.new_classes))
        self.runtime.reseed("adapt", view.index)
        groups = self.method.adapt(carried.model, view)
        contract.groups(carried.model, groups)
        if carried.previous is not None:
            share_frozen(carried.previous, carried.model)
        return groups

    def _pass(
        self, hook: str, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> None:
        self.runtime.reseed(hook, view.index)
        batches = BatchPass(lambda: self._ordered(view, carried, contract, memory))
        carried.model.eval()
        with torch.no_grad(), self.runtime.accelerator.autocast():
            if hook == "prepare":
                self.method.prepare(carried.model, carried.previous, batches, view, carried.state)
            else:
                self.method.consolidate(carried.model, batches, view, carried.state)
        contract.state(hook, carried.state)

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        lesson = self._lesson(view, contract)
        raw_batches = ordered_batches(
            self.plan.train,
            self.plan.steps[view.index].images,
            preset=self.protocol.model,
            augmentation=self.protocol.augmentation,
            seed=self.runtime.seed,
            step=view.index,
        )
        for number, raw in enumerate(raw_batches):
            # What the method does with the first batch happens inside of the tracker.
            tracked = memory.track(carried.model, teacher=carried.previous, state=carried.state)
            with nullcontext() if number else tracked:
                yield lesson.batch(raw)

    def _lesson(self, view: StepView, contract: Contract) -> Lesson:
        def batches(start: int) -> Iterator[RawBatch]:
            loaded = train_batches(
                self.plan.train,
                self.plan.steps[view.index].images,
                preset=self.protocol.model,
                augmentation=self.protocol.augmentation,
                iterations=view.iterations,
                seed=self.runtime.seed,
                step=view.index,
                start=start,
                workers=self.workers,
            )
            return map(pinned, loaded) if self.runtime.device.type == "cuda" else loaded

        shared = view.index == 0 and not self.method.own_base
        table = torch.from_numpy(self.plan.steps[view.index].visible).long().to(self.runtime.device)
        return Lesson(None if shared else self.method, contract, view, self.runtime, table, batches)

    def _train(
        self,
        view: StepView,
        carried: Carried,
        groups: list[ParamGroup],
        contract: Contract,
        memory: PhaseMemory,
    ) -> tuple[TrainCosts, str | None]:
        lesson = self._lesson(view, contract)
        if lesson.method is not None:
            return self._train_now(lesson, carried, groups, memory), None
        digest = base_digest(self.protocol, self.plan, carried.model, groups, self.runtime)
        if stored := self.bases.load(digest):
            carried.model.load_state_dict(stored.weights)
            return stored.costs, digest
        costs = self._train_now(lesson, carried, groups, memory)
        self.bases.store(digest, StoredBase(carried.model.state_dict(), costs))
        return costs, digest

    def _train_now(
        self, lesson: Lesson, carried: Carried, groups: list[ParamGroup], memory: PhaseMemory
    ) -> TrainCosts:
        self.runtime.reseed("train", lesson.view.index)
        progress = make_train_state(carried.model, groups, self.protocol.model, lesson.view, carried.state)
        before = _mark(carried.previous)
        flops, energy = FlopTracker(), EnergyMeter(self.runtime.device)
        tensors = memory.track(
            carried.model, teacher=carried.previous, optimiser=progress.optimiser, state=carried.state
        )
        meter = IterationMeter(self.runtime.device, flops, tensors, energy)
        with self.log(lesson.view) as log, memory.phase("train"), meter.phase():
            train(lesson, progress, carried.previous, meter, log)
            losses = log.summary()
        lesson.contract.unchanged("loss", "the previous model", before, _mark(carried.previous))
        if not all(bool(p.isfinite().all()) for p in carried.model.parameters()):
            raise DivergedError(f"parameters are not finite at the end of step {lesson.view.index}")
        return train_costs(meter, flops, memory.peaks["train"], energy, losses)
