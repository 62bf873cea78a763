"""What the harness costs: the same model on the same batches in a bare PyTorch loop and through the harness.

    python benchmarks/overhead.py [--model cnn-small-cpu] [--device cpu]

Both loops run in one process, in blocks of iterations that alternate, so that a drift of the machine hits
both. Printed: medians of an iteration and the median of the ratios block by block, which is to stay at or
below 1.03; and what the profilers on the first iterations, switched on and off in turns, cost a run of 500
(below 2 %). Exits with 1 where either is above, or where the two loops end with other weights.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from benchmark.contract import Contract
from benchmark.data.loader import RawBatch
from benchmark.finding import find_method
from benchmark.measure.energy import EnergyMeter
from benchmark.measure.flops import FlopTracker
from benchmark.measure.iterations import INSTRUMENTED, IterationMeter
from benchmark.measure.memory import PhaseMemory
from benchmark.method import StepView, trainable
from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset
from benchmark.protocols import load_preset
from benchmark.runtime import Runtime, start_runtime
from benchmark.termlog import TermLog
from benchmark.train import Lesson, TrainState, make_train_state, train

CLASSES = 8
TOTAL = 10_000
RUN = 500
MOST_RATIO = 1.03
MOST_PERCENT = 2


def make_batches(preset: ModelPreset, count: int) -> list[RawBatch]:
    """Return random batches of the preset's size."""
    generator = torch.Generator().manual_seed(0)
    size = (preset.batch_size, preset.image_size, preset.image_size)
    return [
        RawBatch(
            torch.randint(0, 256, (size[0], 3, *size[1:]), generator=generator, dtype=torch.uint8),
            torch.randint(0, CLASSES + 1, size, generator=generator, dtype=torch.uint8),
        )
        for _ in range(count)
    ]


@dataclass
class Bare:
    """The loop one would write by hand."""

    progress: TrainState
    runtime: Runtime
    table: Tensor

    def weights(self) -> list[Tensor]:
        """Return the model's parameters and buffers."""
        return list(self.progress.model.state_dict().values())

    def block(self, batches: list[RawBatch]) -> None:
        """Train on ``batches``."""
        model, optimiser, device = self.progress.model, self.progress.optimiser, self.runtime.device
        for image, label in batches:
            target = self.table[label.to(device, non_blocking=True).long()]
            with self.runtime.accelerator.autocast():
                logits = model(self.runtime.normalise(image.to(device, non_blocking=True))).logits
            F.cross_entropy(logits.float(), target, ignore_index=255).backward()
            optimiser.step()
            self.progress.schedule.step()
            optimiser.zero_grad(set_to_none=True)


@dataclass
class Harness:
    """The harness's own loop, log and meter included."""

    lesson: Lesson
    progress: TrainState
    meter: IterationMeter
    log: TermLog

    def weights(self) -> list[Tensor]:
        """Return the model's parameters and buffers."""
        return list(self.progress.model.state_dict().values())

    def block(self, batches: list[RawBatch]) -> None:
        """Train on ``batches``."""
        end = self.progress.iteration + len(batches)
        view = replace(self.lesson.view, iterations=end)
        lesson = replace(self.lesson, view=view, batches=lambda start: iter(batches))
        train(lesson, self.progress, None, self.meter, self.log)


@dataclass(frozen=True)
class Setting:
    """Equal models and one runtime for both loops."""

    preset: ModelPreset
    runtime: Runtime
    view: StepView
    table: Tensor

    def model(self) -> SegModel:
        """Return the model, the same weights at every call."""
        self.runtime.reseed("initialise", 0)
        return build_model(self.preset, CLASSES + 1).to(self.runtime.device).train()

    def progress(self) -> TrainState:
        """Return a fresh model with its optimiser and schedule."""
        model = self.model()
        return make_train_state(model, trainable(model), self.preset, self.view, {})


def make_setting(name: str, device: str) -> Setting:
    """Return what both loops share; weights are random whatever the preset says."""
    preset = replace(load_preset(name), pretrained="random", sha256=None)
    runtime = start_runtime(device, preset, seed=0)  # type: ignore[arg-type]
    view = StepView(0, (), tuple(range(1, CLASSES + 1)), TOTAL, "overlapped")
    return Setting(preset, runtime, view, torch.arange(256, device=runtime.device))


@contextmanager
def harness(setting: Setting, profilers: bool) -> Iterator[Harness]:
    """Yield the harness's loop as a step sets it up, with or without its instruments."""
    progress, device = setting.progress(), setting.runtime.device
    contract = Contract(find_method("fine_tune").method, setting.view)
    lesson = Lesson(None, contract, setting.view, setting.runtime, setting.table, lambda start: iter(()))
    log = TermLog(0, tqdm(disable=True), io.StringIO())
    memory = PhaseMemory(device)
    meter = IterationMeter(device)
    if profilers:
        tracked = memory.track(progress.model, optimiser=progress.optimiser)
        meter = IterationMeter(device, FlopTracker(), tracked, EnergyMeter(device))
    with memory.phase("train"), meter.phase():
        yield Harness(lesson, progress, meter, log)


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Return the wall seconds of ``work``."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare_loops(setting: Setting, blocks: int, iterations: int) -> bool:
    """Print the medians of an iteration in both loops and of their ratio; return whether that is low."""
    batches, device = make_batches(setting.preset, iterations), setting.runtime.device
    bare = Bare(setting.progress(), setting.runtime, setting.table)
    with harness(setting, profilers=True) as ours:
        bare.block(batches[:INSTRUMENTED])
        ours.block(batches[:INSTRUMENTED])
        pairs = []
        for number in range(blocks):
            order = (bare, ours) if number % 2 else (ours, bare)
            times = {type(loop): seconds(lambda loop=loop: loop.block(batches), device) for loop in order}
            pairs.append((times[Bare] / iterations, times[Harness] / iterations))
    same = all(torch.equal(a, b) for a, b in zip(bare.weights(), ours.weights(), strict=True))
    print(
        f"bare loop      {1000 * statistics.median(b for b, _ in pairs):8.2f} ms an iteration,"
        f" median of {blocks} blocks"
    )
    print(f"harness        {1000 * statistics.median(h for _, h in pairs):8.2f} ms an iteration")
    ratio = statistics.median(h / b for b, h in pairs)
    print(f"ratio          {ratio:8.3f} (at most {MOST_RATIO})")
    print(f"same weights   {'yes' if same else 'NO':>8}")
    return same and ratio <= MOST_RATIO


def cost_of_profilers(setting: Setting, repeats: int) -> bool:
    """Print what the profilers on the first iterations cost a run of 500; return whether that is little."""
    batches, device = make_batches(setting.preset, INSTRUMENTED), setting.runtime.device
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(repeats):
        for profilers in (True, False):
            with harness(setting, profilers) as loop:
                times[profilers].append(seconds(lambda loop=loop: loop.block(batches), device))
    usual = statistics.median(times[False]) / INSTRUMENTED
    extra = statistics.median(on - off for on, off in zip(times[True], times[False], strict=True))
    share = 100 * extra / (usual * RUN)
    print(
        f"profilers      {1000 * extra:8.1f} ms on the first {INSTRUMENTED} iterations,"
        f" {share:.2f} % of a run of {RUN} (below {MOST_PERCENT} %)"
    )
    return share < MOST_PERCENT


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="cnn-small-cpu")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=10)
    asked = parser.parse_args()
    setting = make_setting(asked.model, asked.device)
    print(
        f"{asked.model} on {setting.runtime.device}, {torch.get_num_threads()} threads,"
        f" torch {torch.__version__}"
    )
    low = compare_loops(setting, asked.blocks, asked.iterations)
    sys.exit(0 if cost_of_profilers(setting, 5) and low else 1)


if __name__ == "__main__":
    main()
