"""Rules on what can be: times, memory and scores beside those of other runs of the same board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.metrics import score
from benchmark.record import Record, StepRecord
from benchmark.validate.context import Context, Measure
from benchmark.validate.findings import Fault, note
from benchmark.validate.reading import Subject

FASTEST = {"cpu": 5e14, "cuda": 1e16}
"""FLOPs a second that no single machine reaches in training or inference."""
SPEED = 20.0
"""How much faster than every other run on the same hardware an operation may be, or slower than every one."""
RATIO = 30.0
"""How many times as much as the reference method a run may take, or how few of it."""
LEAST_TIMED = 20
"""Timed iterations below which a step is too short for its speed to say anything."""
WATTS = 5_000.0
POINTS = 10.0
"""Percentage points of mIoU above the joint bound from which a reader is told."""


def speed(subject: Subject, context: Context) -> Iterator[Fault]:
    """Operations and seconds give a speed that a machine can have, and that others on it had."""
    record = subject.record
    limit = FASTEST[record.environment.device]
    for step in record.steps:
        for what, rate in (("training", _train_rate), ("inference", _inference_rate)):
            found = rate(step, record)
            if found is None:
                continue
            if found > limit:
                yield Fault(
                    f"step {step.index}: {what} ran at {found:.2g} FLOPs a second; expected up to {limit:.0e}"
                )
                continue
            others = context.measured(subject, step.index, rate) if _is_long(step) else []
            yield from _beside(f"step {step.index}: {what}", found, others)
        watts = (step.energy_joules or 0.0) / step.seconds.train if step.seconds.train else 0.0
        if watts > WATTS or (step.gpu_utilisation_percent or 0.0) > 100.0:
            used = step.gpu_utilisation_percent
            yield Fault(
                f"step {step.index} drew {watts:.0f} W at {used} % utilisation; expected up to {WATTS:.0f} W"
            )


def _is_long(step: StepRecord) -> bool:
    return step.seconds.timed_iterations >= LEAST_TIMED


def _beside(what: str, found: float, others: Sequence[float]) -> Iterator[Fault]:
    if not others:
        return
    if found > SPEED * others[-1] or found < others[0] / SPEED:
        yield Fault(
            f"{what} ran at {found:.2g} FLOPs a second; other runs on this hardware at {others[0]:.2g} to "
            f"{others[-1]:.2g}"
        )


def _train_rate(step: StepRecord, record: Record) -> float | None:
    """Return FLOPs a second of the timed iterations."""
    flops, spent = step.compute.train_flops, step.seconds
    return flops * spent.timed_iterations / spent.train if flops and spent.train else None


def _inference_rate(step: StepRecord, record: Record) -> float | None:
    macs, latency = step.compute.inference_macs, step.latency_seconds
    return 2 * macs / latency if macs and latency else None


def beside_reference(subject: Subject, context: Context) -> Iterator[Fault]:
    """Seconds, bytes and sizes are within reach of the reference method's on the same hardware."""
    record, known = subject.record, context.protocol(subject.record)
    if known is None or record.variant == known.joint_method or not record.steps:
        return
    if not context.measured(subject, 0, _size, known.joint_method):
        hardware = record.environment.hardware
        yield note(f"times and memory are not compared: no run of {known.joint_method} on {hardware} is here")
        return
    for step in record.steps:
        for what, measure in MEASURES.items():
            found = measure(step, record)
            others = context.measured(subject, step.index, measure, known.joint_method)
            if found is None or not others:
                continue
            typical = others[len(others) // 2]
            if not typical / RATIO <= found <= typical * RATIO:
                yield Fault(
                    f"step {step.index}: {what} are {found:.3g}, {known.joint_method}'s {typical:.3g}; "
                    f"expected within a factor of {RATIO:.0f}"
                )


def _size(step: StepRecord, record: Record) -> float:
    return step.parameters.total


def _iteration_seconds(step: StepRecord, record: Record) -> float | None:
    return step.seconds.train / step.seconds.timed_iterations if _is_long(step) else None


def _train_bytes(step: StepRecord, record: Record) -> float | None:
    peak = step.peak_bytes.get("train")
    if peak is None:
        return None
    return peak.cuda_allocated if record.environment.device == "cuda" else peak.live_tensors


MEASURES: dict[str, Measure] = {
    "seconds of an iteration": _iteration_seconds,
    "peak bytes of training": _train_bytes,
    "parameters": _size,
    "multiply-adds of inference": lambda step, record: step.compute.inference_macs,
    "multiply-adds in training": lambda step, record: step.compute.forward_macs,
}


def bound(subject: Subject, context: Context) -> Iterator[Fault]:
    """A run far above the joint bound is worth a look."""
    mine = _final(subject.record)
    bounds = [
        value
        for other in context.of_board(subject.record.joint_digest)
        if (value := _final(other.record)) is not None
    ]
    if mine is not None and bounds and mine > max(bounds) + POINTS:
        yield note(f"its final mIoU is {mine:.1f} %, that of the joint bound {max(bounds):.1f} %")


def _final(record: Record) -> float | None:
    """Return the final mIoU over all classes, in percent."""
    if record.status != "ok":
        return None
    rows = [range(step.classes[0], step.classes[-1] + 1) for step in record.steps]
    value = score([step.confusion for step in record.steps], rows, record.background).final.all
    return None if value is None else 100 * value
