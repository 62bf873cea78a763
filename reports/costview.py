"""What a run cost, as its page shows it: by part and phase, how each number was got, on what hardware."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from benchmark.measure.operators import suspects
from benchmark.measure.others import tells_of_others
from benchmark.record import Record, StepRecord
from reports.columns import BY_KEY, REMEMBERED, Kind, number, scale_of
from reports.load import hardware
from reports.runs import Run, peak_bytes

How = Literal["counted", "measured"]
COMPUTE = ("teacher", "student", "loss", "backward", "optimiser")
MEMORY = ("parameters", "gradients", "optimiser", "teacher", "state", "activations")
PHASES = {
    "prepare": "prepare",
    "instrumented": "first iterations, under counters",
    "train": "train",
    "data_wait": "data wait",
    "consolidate": "consolidate",
    "evaluate": "evaluate",
}
SIZES = {"trainable": "trainable", "total": "while training", "deployed": "deployed"}
_TONE_OF = {
    "student": 0, "backward": 1, "optimiser": 2, "teacher": 3, "loss": 4, "parameters": 0, "gradients": 1,
    "state": 4, "activations": 5, "trainable": 1, "total": 4, "while training": 4, "deployed": 0,
    "prepare": 3, PHASES["instrumented"]: 4, "train": 0, "data wait": 5, "consolidate": 2, "evaluate": 6,
}  # fmt: skip
_OTHER = 6
_WIDTH = 300.0


class Piece(NamedTuple):
    """A part of a bar: where it lies in a picture 300 wide, its tone from 0, and its number in words."""

    x: str
    width: str
    tone: int
    text: str


class Bar(NamedTuple):
    """One line of a breakdown: its pieces and their sum, printed."""

    name: str
    pieces: tuple[Piece, ...]
    total: str

    @property
    def text(self) -> str:
        """All pieces in words."""
        return f"{self.name}: {', '.join(piece.text for piece in self.pieces)}"


class Part(NamedTuple):
    """An entry of a legend."""

    name: str
    tone: int


class _Drawn(NamedTuple):
    parts: tuple[Part, ...]
    bars: tuple[Bar, ...]


class Breakdown(NamedTuple):
    """Bars on one scale, what their tones are, how they were got. ``reason``: why there is no bar."""

    key: str
    title: str
    how: How
    note: str
    parts: tuple[Part, ...]
    bars: tuple[Bar, ...]
    reason: str = ""


class Cost(NamedTuple):
    """One cost of the last step; ``text`` is empty where it is unknown, and ``note`` says why."""

    name: str
    text: str
    how: How
    note: str


class _Line(NamedTuple):
    name: str
    values: Mapping[str, float]


def breakdowns(record: Record) -> tuple[Breakdown, ...]:
    """Return compute and memory by part, parameters, and seconds by phase; a bar a step."""
    if not record.steps:
        return ()
    return _compute(record), _memory(record), _parameters(record), _seconds(record)


def _compute(record: Record) -> Breakdown:
    lines = [_Line(_step(s), _ordered(s.compute.train_flops_by_part, COMPUTE)) for s in record.steps]
    note = f"FLOPs of a whole batch, two a multiply-add, by torch {_package(record, 'torch')}'s formulas; "
    note += _left_out(record.steps[-1].compute.train_uncounted)
    drawn = _bars(lines, "operations", COMPUTE)
    reason = "" if drawn.parts else "the record has no count by part"
    return Breakdown("compute", "Compute of a training iteration", "counted", note, *drawn, reason)


def _memory(record: Record) -> Breakdown:
    peaks = [s.peak_bytes.get("train") for s in record.steps]
    lines = [
        _Line(_step(s), _ordered(p.parts, MEMORY) if p else {})
        for s, p in zip(record.steps, peaks, strict=True)
    ]
    cuda = record.environment.device == "cuda"
    reason = "CUDA's allocator does not say what its blocks hold" if cuda else "the record has no parts"
    note = f"live tensors at their peak in the first iterations of a step, on {hardware(record)}"
    drawn = _bars(lines, "bytes", MEMORY)
    title = "Memory at the peak of training"
    return Breakdown("memory", title, "measured", note, *drawn, "" if drawn.parts else reason)


def _parameters(record: Record) -> Breakdown:
    last = record.steps[-1].parameters
    lines = [_Line(name, {name: getattr(last, key)}) for key, name in SIZES.items()]
    note = "trainable by the method's own groups; deployed in the model that is shipped; at the last step"
    return Breakdown("parameters", "Parameters", "counted", note, *_bars(lines, "millions"))


def _seconds(record: Record) -> Breakdown:
    lines = [
        _Line(_step(s), {name: getattr(s.seconds, key) for key, name in PHASES.items()}) for s in record.steps
    ]
    note = f"wall time on {hardware(record)}; evaluation is no cost of learning"
    if record.steps[0].base is not None:
        note += "; step 0 is trained once, shared by methods that leave it alone, and charged to each"
    return Breakdown(
        "seconds", "Seconds by phase", "measured", note, *_bars(lines, "seconds", tuple(PHASES.values()))
    )


def _step(step: StepRecord) -> str:
    return f"step {step.index}"


def _ordered(parts: Mapping[str, int], order: Sequence[str]) -> dict[str, float]:
    """Return parts in their usual order, unknown names last; a part of nothing is left out."""
    names = sorted(parts, key=lambda name: (order.index(name) if name in order else len(order), name))
    return {name or "other": parts[name] for name in names if parts[name]}


def _bars(lines: Sequence[_Line], kind: Kind, order: Sequence[str] = ()) -> _Drawn:
    """Draw lines on one scale; the legend has the parts that are used, those of ``order`` first."""
    names = dict.fromkeys([*order, *(name for line in lines for name in line.values)])
    totals = [sum(line.values.values()) for line in lines]
    widest = max(totals, default=0.0)
    bars = tuple(
        Bar(line.name, tuple(_pieces(line.values, widest, kind)), amount(total, kind) if total else "")
        for line, total in zip(lines, totals, strict=True)
    )
    used = {name for line in lines for name in line.values}
    return _Drawn(tuple(Part(name, tone(name)) for name in names if name in used), bars)


def _pieces(values: Mapping[str, float], widest: float, kind: Kind) -> Iterator[Piece]:
    start = 0.0
    for name, value in values.items():
        width = _WIDTH * (value / widest) if widest else 0.0
        yield Piece(f"{start:.2f}", f"{width:.2f}", tone(name), f"{name} {amount(value, kind)}")
        start += width


def tone(part: str) -> int:
    """Return the tone of a part, 0 to 6: the same on every page and in every figure."""
    return _TONE_OF.get(part, _OTHER)


@lru_cache(maxsize=REMEMBERED)
def amount(value: float, kind: Kind) -> str:
    """Print one number in the unit that suits it."""
    scale = scale_of(kind, [value])
    return f"{number(value / scale.factor)}\u202f{scale.name}"


def _left_out(uncounted: Mapping[str, int]) -> str:
    hidden = suspects(uncounted)
    if hidden:
        return f"a lower bound, as {_calls(hidden)} may hide multiply-adds and counted as zero"
    kinds, calls = len(uncounted), sum(uncounted.values())
    return f"zero by definition: {calls} calls of {kinds} operators, element-wise, reductions and the like"


def _calls(uncounted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} × {calls}" for name, calls in sorted(uncounted.items()))


def _package(record: Record, name: str) -> str:
    return record.environment.packages.get(name, "of an unknown version")


def costs(run: Run) -> tuple[Cost, ...]:
    """Return the costs of the last step one by one: the number, how it was got, with what and where."""
    record = run.record
    return (*_counts(record, record.steps[-1]), *_measures(record, record.steps[-1])) if record.steps else ()


def _counts(record: Record, step: StepRecord) -> Iterator[Cost]:
    compute, parameters = step.compute, step.parameters
    one = f"by fvcore {_package(record, 'fvcore')}, one image of {record.image_size} pixels; "
    one += _left_out(compute.uncounted)
    batch = f"by torch {_package(record, 'torch')}, a batch of {record.batch_size}; "
    batch += _left_out(compute.train_uncounted)
    yield _cost("parameters_deployed", parameters.deployed, "counted", "of the shipped model")
    yield _cost("parameters_trainable", parameters.trainable, "counted", "in the groups the method declares")
    yield _cost("inference_macs", compute.inference_macs, "counted", one)
    yield _cost("forward_macs", compute.forward_macs, "counted", one)
    yield _cost("train_flops", compute.train_flops, "counted", batch)
    yield _cost(
        "state_bytes", step.state_bytes, "counted", "tensors carried from step to step beside the model"
    )
    yield _cost("checkpoint_bytes", step.checkpoint_bytes, "counted", "tensors of the shipped model")


def _measures(record: Record, step: StepRecord) -> Iterator[Cost]:
    where, seconds = hardware(record), step.seconds
    count = seconds.timed_iterations
    cuda = record.environment.device == "cuda"
    memory = "CUDA's allocator, bytes handed out" if cuda else "live tensors, as a CPU has no counter"
    joules = step.energy_joules
    peak = peak_bytes(record, step, ("train", "instrumented"))
    yield _cost("peak_train_bytes", peak, "measured", f"{memory}; on {where}")
    others = [note for note in step.energy_notes if tells_of_others([note])]
    how = f"mean of {count} iterations after the first {seconds.instrumented_iterations}"
    said = "; ".join([how, f"on {where}", *others])
    yield _cost("iteration_seconds", seconds.train / count if count else None, "measured", said)
    said = "; ".join(["median of single images", f"on {where}", *others])
    yield _cost("latency_seconds", step.latency_seconds, "measured", said)
    energy = joules / count if joules is not None and count else None
    note = "; ".join(["the GPU's own counter", f"on {where}", *step.energy_notes])
    yield _cost("iteration_joules", energy, "measured", note, "; ".join(step.energy_notes))


def _cost(key: str, value: float | None, how: How, note: str, unknown: str = "") -> Cost:
    column = BY_KEY[key]
    if value is None:
        counter = how == "counted"
        reason = unknown or ("the counter gave no number" if counter else column.unknown)
        return Cost(column.full_name, "", how, reason)
    return Cost(column.full_name, amount(value, column.kind), how, note)
