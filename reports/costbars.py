"""Bars of what runs cost: compute and memory by part, parameters, seconds by phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from benchmark.measure.operators import suspects
from benchmark.record import Record, StepRecord
from reports.columns import REMEMBERED, Kind, number, scale_of, significant
from reports.load import hardware
from reports.variants import whole_mean

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


class _Line(NamedTuple):
    name: str
    values: Mapping[str, float]


def breakdowns(records: Sequence[Record]) -> tuple[Breakdown, ...]:
    """Return compute and memory by part, parameters, and seconds by phase; a bar a step.

    ``records``: of one variant, on one kind of hardware, with as many steps each; bars are of their mean.
    """
    return _compute(records), _memory(records), _parameters(records), _seconds(records)


def _compute(records: Sequence[Record]) -> Breakdown:
    lines = [
        _Line(_step(steps), _ordered(_parts([s.compute.train_flops_by_part for s in steps]), COMPUTE))
        for steps in steps_of(records)
    ]
    note = each(
        records,
        lambda r: (
            f"FLOPs of a whole batch, two a multiply-add, by torch {package(r, 'torch')}'s formulas; "
            + left_out(r.steps[-1].compute.train_uncounted)
        ),
    )
    drawn = _bars(lines, "operations", COMPUTE)
    reason = "" if drawn.parts else "the record has no count by part"
    return Breakdown("compute", "Compute of a training iteration", "counted", note, *drawn, reason)


def _memory(records: Sequence[Record]) -> Breakdown:
    peaks = [[s.peak_bytes.get("train") for s in steps] for steps in steps_of(records)]
    lines = [
        _Line(_step(steps), _ordered(_parts([p.parts if p else {} for p in found]), MEMORY))
        for steps, found in zip(steps_of(records), peaks, strict=True)
    ]
    cuda = records[0].environment.device == "cuda"
    reason = "CUDA's allocator does not say what its blocks hold" if cuda else "the record has no parts"
    note = f"live tensors at their peak in the first iterations of a step, on {hardware(records[0])}"
    drawn = _bars(lines, "bytes", MEMORY)
    title = "Memory at the peak of training"
    return Breakdown("memory", title, "measured", note, *drawn, "" if drawn.parts else reason)


def _parameters(records: Sequence[Record]) -> Breakdown:
    last = [record.steps[-1].parameters for record in records]
    lines = [
        _Line(name, {name: whole_mean([getattr(p, key) for p in last]) or 0}) for key, name in SIZES.items()
    ]
    note = "trainable by the method's own groups; deployed in the model that is shipped; at the last step"
    return Breakdown("parameters", "Parameters", "counted", note, *_bars(lines, "millions"))


def _seconds(records: Sequence[Record]) -> Breakdown:
    lines = [
        _Line(
            _step(steps),
            {name: whole_mean([getattr(s.seconds, key) for s in steps]) or 0 for key, name in PHASES.items()},
        )
        for steps in steps_of(records)
    ]
    note = f"wall time on {hardware(records[0])}; evaluation is no cost of learning"
    if any(record.steps[0].base is not None for record in records):
        note += "; step 0 is trained once, shared by methods that leave it alone, and charged to each"
    return Breakdown(
        "seconds", "Seconds by phase", "measured", note, *_bars(lines, "seconds", tuple(PHASES.values()))
    )


def steps_of(records: Sequence[Record]) -> list[tuple[StepRecord, ...]]:
    """Return what the records have of each step."""
    return list(zip(*(record.steps for record in records), strict=True))


def _step(steps: Sequence[StepRecord]) -> str:
    return f"step {steps[0].index}"


def _parts(tables: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Return the mean of tables of parts, a part that one has not as nothing; empty where one is unknown."""
    if not all(tables):
        return {}
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: whole_mean([table.get(name, 0) for table in tables]) or 0 for name in names}


def _ordered(parts: Mapping[str, float], order: Sequence[str]) -> dict[str, float]:
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
def amount(value: float, kind: Kind, spread: float = 0.0) -> str:
    """Print one number, and how it varies where it does, in the unit that suits it."""
    scale = scale_of(kind, [value])
    printed = number(value / scale.factor)
    if spread:
        printed += f"\u202f±\u202f{number(spread / scale.factor, significant(value / scale.factor))}"
    return f"{printed}\u202f{scale.name}"


def left_out(uncounted: Mapping[str, int]) -> str:
    """Say what a count leaves out: nothing that is a product, or what may be one."""
    hidden = suspects(uncounted)
    if hidden:
        return f"a lower bound, as {_calls(hidden)} may hide multiply-adds and counted as zero"
    kinds, calls = len(uncounted), sum(uncounted.values())
    return f"zero by definition: {calls} calls of {kinds} operators, element-wise, reductions and the like"


def _calls(uncounted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} × {calls}" for name, calls in sorted(uncounted.items()))


def package(record: Record, name: str) -> str:
    """Return the version of a package that a run used, as a sentence has it."""
    return record.environment.packages.get(name, "of an unknown version")


def each(records: Sequence[Record], say: Callable[[Record], str]) -> str:
    """Return what is said of the records, each sentence once."""
    return "; or ".join(dict.fromkeys(map(say, records)))
