"""What a variant cost, as its page shows it: how each number was got, with what, on what hardware."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmark.measure.others import tells_of_others
from benchmark.record import Record, StepRecord
from reports.columns import BY_KEY
from reports.costbars import Breakdown, How, amount, breakdowns, each, left_out, package
from reports.load import hardware
from reports.runs import Run, peak_bytes
from reports.variants import Variant, spread, whole_mean


class Cost(NamedTuple):
    """One cost of the last step; ``text`` is empty where it is unknown, and ``note`` says why."""

    name: str
    text: str
    how: How
    note: str


class Costs(NamedTuple):
    """What runs cost on one kind of hardware, a mean where they are several; ``runs`` says of which."""

    hardware: str
    runs: str
    breakdowns: tuple[Breakdown, ...]
    costs: tuple[Cost, ...]


def costs_of(variant: Variant) -> tuple[Costs, ...]:
    """Return what a variant cost on each kind of hardware: in the mean over the runs that tell of it."""
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in variant.telling:
        groups[run.hardware].append(run)
    return tuple(
        Costs(hardware, _of(runs), breakdowns([r.record for r in runs]), costs([r.record for r in runs]))
        for hardware, runs in groups.items()
    )


def _of(runs: Sequence[Run]) -> str:
    return f"mean of {len(runs)} runs" if len(runs) > 1 else ""


def costs(records: Sequence[Record]) -> tuple[Cost, ...]:
    """Return the costs of the last step one by one: the number, how it was got, with what and where.

    ``records``: as :func:`breakdowns` has them; numbers are means, with their spread where there is one.
    """
    return (*_counts(records), *_measures(records))


def _counts(records: Sequence[Record]) -> Iterator[Cost]:
    last = [record.steps[-1] for record in records]
    one = each(
        records,
        lambda r: (
            f"by fvcore {package(r, 'fvcore')}, one image of {r.image_size} pixels; "
            + left_out(r.steps[-1].compute.uncounted)
        ),
    )
    batch = each(
        records,
        lambda r: (
            f"by torch {package(r, 'torch')}, a batch of {r.batch_size}; "
            + left_out(r.steps[-1].compute.train_uncounted)
        ),
    )
    carried = "tensors carried from step to step beside the model"
    counted: tuple[tuple[str, list[float | None], str], ...] = (
        ("parameters_deployed", [s.parameters.deployed for s in last], "of the shipped model"),
        ("parameters_trainable", [s.parameters.trainable for s in last], "in the groups the method declares"),
        ("inference_macs", [s.compute.inference_macs for s in last], one),
        ("forward_macs", [s.compute.forward_macs for s in last], one),
        ("train_flops", [s.compute.train_flops for s in last], batch),
        ("state_bytes", [s.state_bytes for s in last], carried),
        ("checkpoint_bytes", [s.checkpoint_bytes for s in last], "tensors of the shipped model"),
    )
    for key, values, note in counted:
        yield _cost(key, values, "counted", note)


def _measures(records: Sequence[Record]) -> Iterator[Cost]:
    where = hardware(records[0])
    last = [record.steps[-1] for record in records]
    cuda = records[0].environment.device == "cuda"
    memory = "CUDA's allocator, bytes handed out" if cuda else "live tensors, as a CPU has no counter"
    peaks = [peak_bytes(record, record.steps[-1], ("train", "instrumented")) for record in records]
    yield _cost("peak_train_bytes", peaks, "measured", f"{memory}; on {where}")
    noted = _notes(last)
    notes, others = list(noted.values()), [said for note, said in noted.items() if tells_of_others([note])]
    how = each(
        records,
        lambda r: (
            f"mean of {r.steps[-1].seconds.timed_iterations} iterations after the first "
            f"{r.steps[-1].seconds.instrumented_iterations}"
        ),
    )
    times = [_over(s.seconds.train, s.seconds.timed_iterations) for s in last]
    yield _cost("iteration_seconds", times, "measured", "; ".join([how, f"on {where}", *others]))
    said = "; ".join(["median of single images", f"on {where}", *others])
    yield _cost("latency_seconds", [s.latency_seconds for s in last], "measured", said)
    energy = [_over(s.energy_joules, s.seconds.timed_iterations) for s in last]
    note = "; ".join(["the GPU's own counter", f"on {where}", *notes])
    yield _cost("iteration_joules", energy, "measured", note, "; ".join(notes))


def _notes(steps: Sequence[StepRecord]) -> dict[str, str]:
    """Return what is noted of the GPU as it is said here: of how many runs, where it is not of all."""
    found = [note for step in steps for note in dict.fromkeys(step.energy_notes)]
    counts = {note: found.count(note) for note in found}
    return {
        note: note if count == len(steps) else f"in {count} of {len(steps)} runs: {note}"
        for note, count in counts.items()
    }


def _over(value: float | None, count: int) -> float | None:
    return value / count if value is not None and count else None


def _cost(key: str, values: Sequence[float | None], how: How, note: str, unknown: str = "") -> Cost:
    column, value = BY_KEY[key], whole_mean(values)
    if value is None:
        counter = how == "counted"
        reason = unknown or ("the counter gave no number" if counter else column.unknown)
        return Cost(column.full_name, "", how, reason)
    return Cost(column.full_name, amount(value, column.kind, spread(values) or 0.0), how, note)
