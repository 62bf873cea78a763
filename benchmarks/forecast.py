"""Forecasts of peak memory held to real iterations: live tensors on a CPU, the allocator's peak on CUDA.

    python benchmarks/forecast.py [--device cpu]
    python benchmarks/forecast.py --device cuda

On a CPU: every method on the small presets, fp32, to be within 5 %. On CUDA: DeepLabV3 with ResNet-101 and
ViT-B at 512 pixels, four methods, bf16 and fp32, to be within 10 %. Options choose others. Scenes are
rendered and weights random: neither changes a peak. Exits with 1 where a peak is further off.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from benchmark.estimate import forecast, with_preset
from benchmark.finding import method_names
from benchmark.imagined import NoLog
from benchmark.measure.iterations import IterationMeter
from benchmark.measure.memory import LiveTensorTracker
from benchmark.profiling import profiled_runner
from benchmark.recording import Run, RunSpec
from benchmark.run import resolve
from benchmark.runtime import start_runtime
from benchmark.train import train

PROTOCOL = "shapes-6-2-overlapped"
ITERATIONS = 3


@dataclass(frozen=True)
class Grid:
    """What is tried on a kind of device, and how close a forecast has to come."""

    methods: tuple[str, ...]
    models: tuple[str, ...]
    precisions: tuple[str, ...]
    tolerance: float


# RW does more in its first iteration and every tenth after it: here in all, as the second is looked at.
GRIDS = {
    "cpu": Grid(
        tuple(name if name != "rw" else "rw:every=1" for name in method_names()),
        ("vit-small-cpu", "cnn-small-cpu"),
        ("fp32",),
        0.05,
    ),
    "cuda": Grid(
        ("fine_tune", "mib", "sdr", "clora"), ("deeplabv3-resnet101", "vit-base"), ("bf16", "fp32"), 0.10
    ),
}


def resolved(method: str, model: str, precision: str, device: str, batch: int | None) -> Run:
    """Return a run in another precision or batch than the preset's."""
    run = resolve(RunSpec(method, PROTOCOL, model, device=device, quiet=True))  # type: ignore[arg-type]
    protocol = with_preset(run.protocol, batch, precision)
    return replace(run, protocol=protocol, runtime=start_runtime(device, protocol.model, 0))  # type: ignore[arg-type]


def measured(run: Run) -> Iterator[int]:
    """Yield the peak bytes of an iteration of each step."""
    runner, device = profiled_runner(run), run.runtime.device
    carried = runner.start()
    for step in range(len(run.protocol.steps)):
        gc.collect()  # an optimiser and its schedule hold each other, and tensors of what ran before
        ready = runner.begin(step, carried, ITERATIONS)
        tensors = LiveTensorTracker(
            carried.model, carried.previous, ready.progress.optimiser, carried.state, device=device
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        meter = IterationMeter(device, tensors=None if device.type == "cuda" else tensors)
        with meter.phase():
            train(ready.lesson, ready.progress, carried.previous, meter, NoLog())
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else tensors.peak_bytes
        runner.end(ready, carried)
        del ready, tensors, meter  # they hold the optimiser's tensors, which the next step is to be without
        yield peak


def compare(run: Run, tolerance: float) -> bool:
    """Print forecast and measurement of each step; return whether all are close enough."""
    preset, good = run.protocol.model, True
    told = forecast(run.variant, run.protocol, device=run.runtime.device)
    for step, real in zip(told.steps, measured(run), strict=True):
        off = (step.peak_bytes.live_tensors or 0) / real - 1
        good &= abs(off) <= tolerance
        print(
            f"{preset.name:<20} {preset.precision:<5} {run.variant.text:<14} {step.index:>4} "
            f"{(step.peak_bytes.live_tensors or 0) / 2**20:>12.1f} {real / 2**20:>12.1f} {100 * off:>+7.2f} %"
            f"{'' if abs(off) <= tolerance else '  TOO FAR'}",
            flush=True,
        )
    return good


def main() -> None:
    """Parse, compare, print, exit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--method", action="append", help="repeat for more")
    parser.add_argument("--model", action="append", help="repeat for more")
    parser.add_argument("--precision", action="append", choices=["fp32", "bf16"], help="repeat for more")
    parser.add_argument("--batch", type=int, help="the preset's where left out")
    asked = parser.parse_args()
    grid = GRIDS[asked.device]
    print(f"torch {torch.__version__}, {asked.device}, {PROTOCOL}, within {100 * grid.tolerance:.0f} %")
    print(f"{'model':<20} {'':<5} {'method':<14} step  forecast MiB  measured MiB  off by")
    good = True
    for model in asked.model or grid.models:
        for precision in asked.precision or grid.precisions:
            for method in asked.method or grid.methods:
                run = resolved(method, model, precision, asked.device, asked.batch)
                good &= compare(run, grid.tolerance)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
