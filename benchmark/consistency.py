"""Whether the parts of a record fit each other. The schema alone cannot say that."""

from __future__ import annotations

from itertools import accumulate

from benchmark.errors import RecordError
from benchmark.record import Record, StepRecord

LARGEST = 2**63 - 1
_NUMBERS = (int, float)


def check(record: Record) -> None:
    """Raise RecordError, one sentence, where a record contradicts itself or holds an absurd value."""
    fault = _whole(record)
    if fault is None:
        faults = (_step(step, index, record) for index, step in enumerate(record.steps))
        fault = next((f"step {i}: {text}" for i, text in enumerate(faults) if text), None)
    if fault is not None:
        raise RecordError(f"record of {record.variant[:80]!r} contradicts itself: {fault}")


def _whole(record: Record) -> str | None:
    classes, steps = len(record.classes), len(record.step_sizes)
    if not steps or sum(record.step_sizes) != classes:
        return f"its steps add {sum(record.step_sizes)} classes, expected {classes}"
    if len(record.steps) > steps or (record.status == "ok" and len(record.steps) != steps):
        return f"it has {len(record.steps)} steps with status {record.status!r}, expected {steps}"
    if not 0 < record.batch_size <= LARGEST:
        return f"its batch size is {record.batch_size}, expected 1 or more"
    if not 0 <= record.seed <= LARGEST:
        return f"its seed is {record.seed}, expected 0 to {LARGEST}"
    return None


def _step(step: StepRecord, index: int, record: Record) -> str | None:
    seen = list(accumulate(record.step_sizes))[index]
    rows = tuple(range(seen - record.step_sizes[index] + 1, seen + 1))
    if step.index != index or step.classes != rows:
        return f"it is step {step.index} with rows {_short(step.classes)}, expected {_short(rows)}"
    shapes = {len(row) for row in step.confusion}
    if len(step.confusion) != len(record.classes) + 1 or shapes != {seen + 1}:
        shape = f"{len(step.confusion)} x {'/'.join(map(str, sorted(shapes)))}"
        return f"its confusion matrix is {shape}, expected {len(record.classes) + 1} x {seen + 1}"
    if not record.background and any(step.confusion[0]):
        return "its row 0 has pixels, but the dataset has no background class"
    if _largest(step) > LARGEST or sum(map(sum, step.confusion)) > LARGEST:
        return f"it has a value beyond {LARGEST}"
    return None


def _short(rows: tuple[int, ...]) -> str:
    return f"{rows[0]} to {rows[-1]}" if rows else "none"


def _largest(step: StepRecord) -> float:
    peaks = [vars(peak) for peak in step.peak_bytes.values()]
    groups = [vars(step), vars(step.parameters), vars(step.compute), vars(step.seconds), *peaks]
    groups += [step.compute.uncounted, *(peak["parts"] for peak in peaks)]
    return max(
        (value for group in groups for value in group.values() if isinstance(value, _NUMBERS)), default=0
    )
