"""What a training iteration of each method costs, as a ratio to fine-tune's.

    python benchmarks/adapters.py                                       # both CPU presets, every method
    python benchmarks/adapters.py --model vit-base --device cuda --method mib --method clora

Each method goes through step 0 and into step 1 of ``--protocol``, on random batches at the preset's own size.
Then each takes turns with fine-tune, an iteration about, in one process, so that a drift of the machine hits
both; a ratio is the median over rounds of the seconds of ten iterations over those of the ten between them.
Bytes are the peak of an iteration, measured with one method at a time: live tensors on a CPU, allocated bytes
on CUDA. Exit code 1: a target was missed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from benchmark.contract import Contract
from benchmark.data.loader import RawBatch
from benchmark.finding import find_method, method_names
from benchmark.imagined import imagined_plan
from benchmark.measure.iterations import INSTRUMENTED, IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.method import Batch, StepView
from benchmark.preset import ModelPreset
from benchmark.protocol import Protocol
from benchmark.protocols import load_protocol
from benchmark.runtime import start_runtime
from benchmark.shipping import ship
from benchmark.steps import Carried, StepRunner, step_view
from benchmark.termlog import TermLog
from benchmark.train import Lesson, TrainState, make_train_state, train

REFERENCE, TEACHER = "fine_tune", "teacher forward"
ON_TOP = ("clora:on=fine_tune", "clora:on=ilt", "clora:on=sdr", "clora:on=plop")
BLOCK = 10  # RW brings its importances up to date in every tenth iteration: each ratio holds one
TOTAL = 100_000


def random_batches(preset: ModelPreset, classes: int) -> list[RawBatch]:
    """Return three batches of noise with labels in patches, of all classes and the background."""
    generator = torch.Generator().manual_seed(0)
    size, batch = preset.image_size, preset.batch_size
    patches = torch.randint(0, classes + 1, (3, batch, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.nn.functional.interpolate(patches.flatten(0, 1), size=(size, size)).reshape(
        3, batch, size, size
    )
    images = torch.randint(0, 256, (3, batch, 3, size, size), generator=generator, dtype=torch.uint8)
    return [RawBatch(image, label) for image, label in zip(images, labels, strict=True)]


@dataclass(frozen=True)
class Runner(StepRunner):
    """The harness's own steps on batches that need no data."""

    raw: tuple[RawBatch, ...] = ()

    def lesson(self, step: int, carried: Carried) -> Prepared:
        """Make a step ready to train: grown, adapted, prepared."""
        view = replace(step_view(self.protocol, self.plan, step), iterations=TOTAL)
        contract = Contract(self.method, view)
        groups = self._adapt(view, carried, contract)
        self._pass("prepare", view, carried, contract, PhaseMemory(self.runtime.device))
        self.runtime.reseed("train", step)
        progress = make_train_state(carried.model, groups, self.protocol.model, view, carried.state)
        return Prepared(self._lesson(view, contract), progress, carried)

    def finish(self, prepared: Prepared) -> None:
        """Consolidate and ship: ``prepared.carried`` becomes what the next step starts from."""
        view, carried = prepared.lesson.view, prepared.carried
        contract = prepared.lesson.contract
        self._pass("consolidate", view, carried, contract, PhaseMemory(self.runtime.device))
        shipped = ship(self.method, carried.model, contract, self.protocol.outputs(view.index))
        carried.previous = self._teacher(carried.model, shipped)

    def _ordered(
        self, view: StepView, carried: Carried, contract: Contract, memory: PhaseMemory
    ) -> Iterator[Batch]:
        yield from map(self._lesson(view, contract).batch, self.raw)

    def _lesson(self, view: StepView, contract: Contract) -> Lesson:
        return replace(
            super()._lesson(view, contract),
            batches=lambda start: islice(cycle(self.raw), start % len(self.raw), None),
        )


@dataclass(frozen=True)
class Prepared:
    """A step of one method, ready to train."""

    lesson: Lesson
    progress: TrainState
    carried: Carried

    def iterate(self, iterations: int, meter: IterationMeter | None = None) -> None:
        """Train on; the counters of ``meter`` ride on its first iterations."""
        meter = meter or IterationMeter(self.lesson.runtime.device)
        end = self.progress.iteration + iterations
        lesson = replace(self.lesson, view=replace(self.lesson.view, iterations=end))
        log = TermLog(lesson.view.index, tqdm(disable=True), io.StringIO())
        with meter.phase():
            train(lesson, self.progress, self.carried.previous, meter, log)

    def look(self, iterations: int) -> None:
        """Run the previous model alone, as often as an iteration of a method that needs it does."""
        previous = self.carried.previous
        assert previous is not None
        for raw in islice(self.lesson.batches(0), iterations):
            with torch.no_grad():
                self.lesson.forward(previous, self.lesson.batch(raw).image)

    def peak_bytes(self) -> int:
        """Return the peak of the first iterations."""
        device = self.lesson.runtime.device
        memory = PhaseMemory(device)
        tracked = memory.track(
            self.carried.model,
            teacher=self.carried.previous,
            optimiser=self.progress.optimiser,
            state=self.carried.state,
        )
        on_cuda = device.type == "cuda"
        with memory.phase("train"):
            self.iterate(INSTRUMENTED, IterationMeter(device, tensors=None if on_cuda else tracked))
        peak = memory.peaks["train"]
        found = peak.cuda_allocated if on_cuda else peak.live_tensors
        assert found is not None
        return found


class Measured(NamedTuple):
    """Medians over the rounds: seconds of an iteration, its ratio to the reference's, and peak bytes."""

    seconds: float
    ratio: float
    peak_bytes: int


def prepared(spec: str, protocol: Protocol, device: str) -> Prepared:
    """Take a method through step 0 and return its step 1."""
    runtime = start_runtime(device, protocol.model, seed=0)  # type: ignore[arg-type]
    raw = tuple(random_batches(protocol.model, len(protocol.classes)))
    nothing: Any = None
    plan = imagined_plan(protocol)
    runner = Runner(
        protocol, find_method(spec), plan, runtime, nothing, lambda view: nullcontext(nothing), raw=raw
    )
    carried = runner.start()
    first = runner.lesson(0, carried)
    first.iterate(INSTRUMENTED)
    runner.finish(first)
    return runner.lesson(1, carried)


def measure(specs: list[str], protocol: Protocol, device: str, rounds: int) -> dict[str, Measured]:
    """Return what each variant's iteration costs, and that of the previous model's forward pass alone."""
    peaks = {}
    for spec in tqdm(specs, desc="bytes", leave=False):
        peaks[spec] = prepared(spec, protocol, device).peak_bytes()
    ready = {spec: prepared(spec, protocol, device) for spec in specs}
    turns = {spec: step.iterate for spec, step in ready.items()}
    teacher = next(step for step in ready.values() if step.carried.previous is not None)
    turns[TEACHER] = teacher.look
    for turn in turns.values():
        turn(BLOCK)
    pairs: dict[str, list[Turns]] = {name: [] for name in turns}
    for _ in tqdm(range(rounds), desc="seconds", leave=False):
        for name, turn in turns.items():
            pairs[name].append(side_by_side(turn, turns[REFERENCE], teacher.lesson.runtime.device))
    return {
        name: Measured(
            statistics.median(pair.own for pair in own) / BLOCK,
            statistics.median(pair.own / pair.reference for pair in own),
            peaks.get(name, 0),
        )
        for name, own in pairs.items()
    }


class Turns(NamedTuple):
    """Seconds of as many iterations of a method and of the reference, which took turns."""

    own: float
    reference: float


def side_by_side(
    turn: Callable[[int], None], reference: Callable[[int], None], device: torch.device
) -> Turns:
    """Let two take turns, an iteration about: the processor's speed is not the same for a second."""
    own = other = 0.0
    for _ in range(BLOCK):
        own += seconds(turn, device)
        other += seconds(reference, device)
    return Turns(own, other)


def seconds(turn: Callable[[int], None], device: torch.device) -> float:
    """Return the wall seconds of an iteration."""
    start = time.perf_counter()
    turn(1)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


class Target(NamedTuple):
    """A bound on one figure."""

    says: str
    got: float
    most: float


def targets(found: dict[str, Measured], transformer: bool) -> Iterator[Target]:
    """Yield the bounds that the figures here can be held to."""
    ratio = {name: one.ratio for name, one in found.items()}
    size = {name: one.peak_bytes for name, one in found.items()}
    if {"sdr", "mib"} <= found.keys():
        yield Target("sdr against mib, time", ratio["sdr"] / ratio["mib"], 1.10)
    for name in {"ilt", "mib"} & found.keys():
        most = 1.05 * (1 + ratio[TEACHER])
        yield Target(f"{name}: fine_tune, a teacher's forward pass and 5 %, time", ratio[name], most)
    for name in {"ewc", "rw", "si"} & found.keys():
        yield Target(f"{name}, time", ratio[name], 1.3)
    if transformer and {"clora", "mib"} <= found.keys():
        yield Target("clora against mib, time", ratio["clora"] / ratio["mib"], 1.0)
        yield Target("clora against mib, bytes", size["clora"] / size["mib"], 1.0)
    if transformer and "clora:on=fine_tune" in found:
        yield Target("clora:on=fine_tune, time", ratio["clora:on=fine_tune"], 1.0)
        yield Target("clora:on=fine_tune, bytes", size["clora:on=fine_tune"] / size[REFERENCE], 1.0)


def show(model: str, found: dict[str, Measured], transformer: bool) -> bool:
    """Print a table and what became of the targets; return whether all were reached."""
    print(f"{'method':<22}{'ms':>9}{'time':>8}{'MiB':>9}{'bytes':>8}")
    reference = found[REFERENCE].peak_bytes
    for name, one in found.items():
        size = f"{one.peak_bytes / 2**20:>9.1f}{one.peak_bytes / reference:>8.2f}" if one.peak_bytes else ""
        print(f"{name:<22}{1000 * one.seconds:>9.1f}{one.ratio:>8.3f}{size}")
    reached = True
    for target in targets(found, transformer):
        good = target.got <= target.most
        reached &= good
        print(
            f"{'reached' if good else 'MISSED':<8} {target.says}: {target.got:.3f}, at most {target.most:.3f}"
        )
    return reached


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", default="msrc-16-5-overlapped")
    parser.add_argument("--model", action="append", help="cnn-small-cpu and vit-small-cpu where left out")
    parser.add_argument("--method", action="append", help="every method where left out; repeat for more")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, help="the preset's own where left out")
    parser.add_argument("--image-size", type=int, help="the preset's own where left out")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    reached = True
    for model in asked.model or ["cnn-small-cpu", "vit-small-cpu"]:
        protocol = load_protocol(asked.protocol, model)
        preset = replace(protocol.model, pretrained="random", sha256=None)
        preset = replace(
            preset,
            batch_size=asked.batch or preset.batch_size,
            image_size=asked.image_size or preset.image_size,
        )
        transformer = "vit" in preset.encoder
        every = [*method_names(), *(ON_TOP if transformer else ())]
        wanted = [REFERENCE, *(name for name in asked.method or every if name != REFERENCE)]
        print(
            f"\n{model}, batch {preset.batch_size} at {preset.image_size} pixels, {asked.device},"
            f" {torch.get_num_threads()} threads, torch {torch.__version__}"
        )
        found = measure(wanted, replace(protocol, model=preset), asked.device, asked.rounds)
        reached &= show(model, found, transformer)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
