"""Rules on costs: what must hold of any run, whatever the method and the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from benchmark.record import PeakBytes, StepRecord
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault
from benchmark.validate.reading import Subject

TENTHS = 10
PHASES = {"prepare", "train", "consolidate", "evaluate"}
MOST_THREADS = 65_536
BYTES = 4  # of a parameter in float32, in which all training keeps them
STUDENT_SHARE = 0.9
"""Of the student's own forward pass an iteration must at least have: counters differ by a hair."""


def finite(subject: Subject, context: Context) -> Iterator[Fault]:
    """No number is infinite or not a number."""
    for where, value in _numbers(asdict(subject.record), "record"):
        if not math.isfinite(value):
            yield Fault(f"{where} is {value}")
            return


def _numbers(value: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, where)


def parameters(subject: Subject, context: Context) -> Iterator[Fault]:
    """What is trained or shipped is a part of what there is."""
    for step in subject.record.steps:
        count = step.parameters
        if not 0 < count.deployed <= count.total:
            yield Fault(f"step {step.index} ships {count.deployed} parameters; it has {count.total}")
        if count.trainable > count.total:
            yield Fault(f"step {step.index} trains {count.trainable} parameters; it has {count.total}")
        if step.checkpoint_bytes < count.deployed:
            yield Fault(
                f"step {step.index} ships {count.deployed} parameters in {step.checkpoint_bytes} bytes; "
                "expected a byte for each at least"
            )


def compute(subject: Subject, context: Context) -> Iterator[Fault]:
    """An iteration is the sum of its parts, and holds at least the student's own forward pass."""
    batch = subject.record.batch_size
    for step in subject.record.steps:
        found, where = step.compute, f"step {step.index}"
        if found.inference_macs is None or found.forward_macs is None or found.train_flops is None:
            yield Fault(f"{where} has no count of inference_macs, forward_macs or train_flops")
            continue
        if not found.inference_macs:
            yield Fault(f"{where} runs a model of no multiply-adds")
        total = sum(found.train_flops_by_part.values())
        if total != found.train_flops:
            yield Fault(f"{where}: the parts of train_flops sum to {total}; it is {found.train_flops}")
        least = int(STUDENT_SHARE * 2 * batch * found.forward_macs)
        if found.train_flops < least:
            yield Fault(
                f"{where}: an iteration has {found.train_flops} FLOPs; {batch} forward passes of "
                f"{found.forward_macs} multiply-adds alone have {2 * batch * found.forward_macs}"
            )


def losses(subject: Subject, context: Context) -> Iterator[Fault]:
    """Each term has a mean for each tenth of the iterations, one of them at least known."""
    for step in subject.record.steps:
        if not step.losses:
            yield Fault(f"step {step.index} has no loss term")
        for name, course in step.losses.items():
            if len(course) != TENTHS:
                yield Fault(f"step {step.index}: loss {name!r} has {len(course)} values; expected {TENTHS}")
            elif all(value is None for value in course):
                yield Fault(f"step {step.index}: loss {name!r} was never there")


def seconds(subject: Subject, context: Context) -> Iterator[Fault]:
    """Every iteration is either timed or carries instruments, and takes time."""
    for step in subject.record.steps:
        spent = step.seconds
        counted = spent.timed_iterations + spent.instrumented_iterations
        if counted != step.iterations:
            yield Fault(f"step {step.index} accounts for {counted} iterations; it has {step.iterations}")
        if (spent.timed_iterations > 0) != (spent.train > 0):
            yield Fault(f"step {step.index}: {spent.timed_iterations} timed iterations took {spent.train} s")
        if not spent.evaluate or not spent.instrumented:
            yield Fault(
                f"step {step.index}: scoring took {spent.evaluate} s, first iterations {spent.instrumented}"
            )
        if not step.latency_seconds:
            yield Fault(f"step {step.index}: an image took {step.latency_seconds} s")
        if step.index and step.base is not None:
            yield Fault(f"step {step.index} was taken from a stored base, as step 0 alone can be")


def memory(subject: Subject, context: Context) -> Iterator[Fault]:
    """Peaks are of the device's own kind, and hold at least what is trained."""
    device = subject.record.environment.device
    for step in subject.record.steps:
        where = f"step {step.index}"
        if odd := sorted(step.peak_bytes.keys() ^ PHASES):
            yield Fault(
                f"{where}: peak_bytes has phases {sorted(step.peak_bytes)}; differing: {', '.join(odd)}"
            )
        for phase, peak in step.peak_bytes.items():
            yield from (Fault(f"{where}, {phase}: {fault}") for fault in _peak(peak, device))
        yield from (Fault(f"{where}, train: {fault}") for fault in _train_peak(step, device))


def _peak(peak: PeakBytes, device: str) -> Iterator[str]:
    on_cuda = (peak.cuda_allocated, peak.cuda_reserved, peak.nvml_process)
    if device == "cpu" and any(value is not None for value in on_cuda):
        yield "a run on a CPU has bytes of a GPU"
    if device == "cuda" and peak.live_tensors is not None:
        yield "a run on a GPU has bytes of live tensors, which are followed on a CPU alone"
    if (peak.cuda_allocated or 0) > (peak.cuda_reserved if peak.cuda_reserved is not None else math.inf):
        yield f"{peak.cuda_allocated} bytes are allocated of {peak.cuda_reserved} reserved"
    if sum(peak.parts.values()) != (peak.live_tensors or 0):
        yield f"parts sum to {sum(peak.parts.values())} bytes; the peak is {peak.live_tensors}"


def _train_peak(step: StepRecord, device: str) -> Iterator[str]:
    peak = step.peak_bytes.get("train")
    if peak is None or step.iterations < 2:  # the second iteration is the one that is followed
        return
    found = peak.live_tensors if device == "cpu" else peak.cuda_allocated
    if found is None or found < BYTES * step.parameters.trainable:
        yield f"the peak is {found} bytes; {step.parameters.trainable} trained parameters take four each"


def environment(subject: Subject, context: Context) -> Iterator[Fault]:
    """The machine is one that can be: a GPU where there is one, threads, and versions of what was used."""
    found = subject.record.environment
    if (found.device == "cuda") != (found.gpu is not None) or (found.device == "cpu" and found.cuda):
        yield Fault(f"the device is {found.device!r}, the GPU {found.gpu!r} and CUDA {found.cuda!r}")
    if not 0 < found.threads <= MOST_THREADS or not found.cpu.strip():
        yield Fault(f"it ran on the CPU {found.cpu!r} with {found.threads} threads")
    missing = sorted({"torch", "timm"} - found.packages.keys())
    if missing:
        yield Fault(f"no version of {', '.join(missing)} is named")
