"""Where the time of an iteration goes: by part by the clock, by operator by torch's profiler.

The step is come by without training those before it: time does not depend on the values of weights, which
are random here whatever the preset says. Each earlier step adapts, and goes through one batch of its passes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmark.contract import Contract
from benchmark.errors import ProtocolError
from benchmark.imagined import NoLog
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.method import Batch, StepView
from benchmark.model import build_model
from benchmark.record import Environment
from benchmark.recording import Run
from benchmark.shipping import ship
from benchmark.steps import Carried, StepRunner, step_view
from benchmark.train import Lesson, TrainState, make_train_state, train

WARM_UP = 3
PARTS = ("data", "teacher", "student", "loss", "backward", "optimiser", "other")


@dataclass(frozen=True)
class OperatorTime:
    """What one operator takes in an iteration: its own seconds on the device, what it calls left out."""

    name: str
    calls: float
    seconds: float


@dataclass(frozen=True)
class TimeProfile:
    """Seconds of an iteration: means over ``iterations`` of them.

    ``parts`` are wall seconds by part and sum to ``seconds``: data (the wait for a batch), teacher, student,
    loss, backward, optimiser, and other (moving and normalising the batch, what a method does with
    gradients). The device is waited for at each of their edges, so that on CUDA an iteration takes longer
    than in a run. ``operators``, the slowest first, are from as many more iterations under torch's profiler.
    """

    protocol: str
    model: str
    variant: str
    step: int
    batch_size: int
    image_size: int
    iterations: int
    environment: Environment
    seconds: float
    parts: dict[str, float]
    operators: tuple[OperatorTime, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``basis`` says how they were got."""
        return {"basis": "measured", **asdict(self)}


class ProfilingMeter(IterationMeter):
    """Lets the first iterations go by, times others by part, and shows as many to torch's profiler."""

    def __init__(self, device: torch.device, iterations: int, profiler: profile) -> None:
        super().__init__(device)
        self._device = device
        self._iterations = iterations
        self._profiler = profiler
        self._number = -1
        self._named = 0.0
        self.parts: defaultdict[str, float] = defaultdict(float)
        """Wall seconds of the timed iterations by part."""

    @property
    def _profiled(self) -> bool:
        return self._number >= WARM_UP + self._iterations

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """Enclose one iteration."""
        self._number += 1
        if self._number == WARM_UP + self._iterations:
            self._profiler.start()
        self._named = 0.0
        if self._profiled:
            with record_function("iteration"):
                yield
            return
        began = self._now()
        yield
        self._add("other", self._now() - began - self._named)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name a part of an iteration."""
        if self._profiled:
            with record_function(name):
                yield
            return
        began = self._now()
        yield
        spent = self._now() - began
        self._named += spent
        self._add(name, spent)

    def waiting(self) -> AbstractContextManager[None]:
        """Enclose the wait for a batch."""
        return self.part("data")

    def _add(self, part: str, seconds: float) -> None:
        if self._number >= WARM_UP:
            self.parts[part] += seconds

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class Ready(NamedTuple):
    """A step about to be trained: what :func:`benchmark.train.train` asks for."""

    lesson: Lesson
    progress: TrainState


@dataclass(frozen=True)
class ProfiledRunner(StepRunner):
    """Comes to a step without training those before it."""

    def start(self) -> Carried:
        """Build the model of step 0 with random weights."""
        self.runtime.reseed("initialise", 0)
        model = build_model(self.protocol.model, self.protocol.outputs(0), load_weights=False)
        return Carried(model.to(self.runtime.device), None, {})

    def begin(self, step: int, carried: Carried, iterations: int) -> Ready:
        """Grow, adapt and prepare for ``step``, to be trained for a number of iterations."""
        view = replace(step_view(self.protocol, self.plan, step), iterations=iterations)
        contract = Contract(self.method, view)
        groups = self._adapt(view, carried, contract)
        memory = PhaseMemory(self.runtime.device)
        with memory.phase("prepare"):
            self._pass("prepare", view, carried, contract, memory)
        self.runtime.reseed("train", step)
        progress = make_train_state(carried.model, groups, self.protocol.model, view, carried.state)
        return Ready(self._lesson(view, contract), progress)

    def end(self, ready: Ready, carried: Carried) -> None:
        """Consolidate and deploy, trained or not."""
        view, contract = ready.lesson.view, ready.lesson.contract
        memory = PhaseMemory(self.runtime.device)
        with memory.phase("consolidate"):
            self._pass("consolidate", view, carried, contract, memory)
        shipped = ship(self.method, carried.model, contract, self.protocol.outputs(view.index))
        carried.previous = self._teacher(carried.model, shipped)

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        return islice(super()._ordered(view, carried, contract, memory), 1)


def profiled_runner(run: Run) -> ProfiledRunner:
    """Return a runner of ``run`` that stores nothing."""
    nothing: Any = None
    parts = (run.protocol, run.variant, run.plan, run.runtime)
    return ProfiledRunner(*parts, bases=nothing, log=nothing, workers=run.spec.workers)


def profile_run(run: Run, iterations: int, trace: Path, step: int | None = None) -> TimeProfile:
    """Profile iterations of one step and write them as a Chrome trace to ``trace``,
    whose folder is made.

    ``step`` None: the second, which is the first with a previous model, of a joint bound its only one. Raises
    ProtocolError for a step that the protocol has not.
    """
    count = len(run.protocol.steps)
    step = min(1, count - 1) if step is None else step
    if step not in range(count):
        raise ProtocolError(
            f"protocol {run.protocol.id!r} has no step {step}; its steps are 0 to {count - 1}"
        )
    runner = profiled_runner(run)
    device = run.runtime.device
    on_cuda = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    profiler = profile(activities=[ProfilerActivity.CPU, *on_cuda])
    meter = ProfilingMeter(device, iterations, profiler)
    carried = runner.start()
    for earlier in range(step):
        runner.end(runner.begin(earlier, carried, iterations=1), carried)
    ready = runner.begin(step, carried, WARM_UP + 2 * iterations)
    train(ready.lesson, ready.progress, carried.previous, meter, NoLog())
    profiler.stop()
    trace.parent.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(trace))
    return _read(run, step, iterations, meter, profiler)


def _read(run: Run, step: int, iterations: int, meter: ProfilingMeter, profiler: profile) -> TimeProfile:
    parts = {name: meter.parts[name] / iterations for name in PARTS if name in meter.parts}
    return TimeProfile(
        protocol=run.protocol.id,
        model=run.protocol.model.name,
        variant=run.variant.text,
        step=step,
        batch_size=run.protocol.model.batch_size,
        image_size=run.protocol.model.image_size,
        iterations=iterations,
        environment=run.runtime.environment(),
        seconds=sum(parts.values()),
        parts=parts,
        operators=tuple(_operators(profiler, iterations, run.runtime.device)),
    )


def _operators(profiler: profile, iterations: int, device: torch.device) -> list[OperatorTime]:
    cuda = device.type == "cuda"
    found = [
        OperatorTime(
            event.key,
            event.count / iterations,
            (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e6 / iterations,
        )
        for event in profiler.key_averages()
        if not event.is_user_annotation
    ]
    return sorted((op for op in found if op.seconds), key=lambda op: op.seconds, reverse=True)
