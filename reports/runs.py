"""A run as the report sees it: its record, its scores, and every measure that needs no other run."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmark.measure.operators import suspects
from benchmark.measure.others import tells_of_others
from benchmark.metrics import BOARDS, Board, NetScoreInputs, RunScores, netscore, netscore_inputs, score
from benchmark.record import Compute, PeakBytes, Record, Seconds, StepRecord, sha256_of
from reports.compact import confusions
from reports.load import Found, hardware

Measures = Mapping[str, float | None]


@dataclass(frozen=True)
class Run:
    """One record, scored. ``path`` is relative to the results folder; ``slug`` names it in the site.

    ``digest``: SHA-256 of the record's file; empty where it was not read from one.
    """

    path: str
    record: Record
    scores: RunScores
    digest: str = ""

    def __getstate__(self) -> dict[str, Any]:
        """Pack the scores: to unpickle them takes half the time, and most builds look at few."""
        state = dict(vars(self))
        if "scores" in state:
            state["packed"] = pickle.dumps(state.pop("scores"), pickle.HIGHEST_PROTOCOL)
        return state

    if not TYPE_CHECKING:  # for which any name at all would be one

        def __getattr__(self, name: str) -> Any:
            """Unpack the scores where they are asked for."""
            state = vars(self)
            if name != "scores" or "packed" not in state:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            state["scores"] = pickle.loads(state.pop("packed"))
            return state["scores"]

    @property
    def ok(self) -> bool:
        """Whether it finished; only then does it enter a mean."""
        return self.record.status == "ok"

    @cached_property
    def hardware(self) -> str:
        """What its times and memory may be compared within."""
        return hardware(self.record)

    @cached_property
    def slug(self) -> str:
        """Its place on its page and the name of its files: unique, and the same wherever the records lie."""
        record = self.record
        key = [*_place(record), record.method, record.variant, record.source_digest, str(record.seed)]
        return slug(f"{record.variant[:60]}-s{record.seed}", *key, self.hardware)

    @cached_property
    def page(self) -> str:
        """The page of its variant in the site, without ending, in the folder of its board if it is on one."""
        record = self.record
        identity = (*_place(record), record.method, record.variant, record.source_digest)
        top = "boards" if record.split == "test" and not is_bound(record) else "runs"
        return f"{top}/{place_slug(record)}/{slug(record.variant[:60], *identity)}"

    @property
    def stem(self) -> str:
        """Its files in the site, beside its page, without ending."""
        return f"{self.page.rpartition('/')[0]}/{self.slug}"

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Operators that its last step's counts took for zero and that may be products."""
        if not self.record.steps:
            return ()
        compute = self.record.steps[-1].compute
        return tuple({**suspects(compute.uncounted), **suspects(compute.train_uncounted)})

    @cached_property
    def disturbed(self) -> bool:
        """Whether other processes used its GPU in a step, a step 0 that was trained before included."""
        return shared_gpu(self.record.steps)

    @cached_property
    def inputs(self) -> Mapping[Board, NetScoreInputs]:
        """NetScore's p and m on each of its boards; none where the run did not finish."""
        return {board: inputs(self.record, board) for board in BOARDS} if self.ok else {}

    @cached_property
    def measures(self) -> Measures:
        """Every measure by the key of its column; all None where the run did not finish."""
        return _measures(self.record, self.scores, self.inputs)


def scored(found: Found) -> Run:
    """Score a record by the benchmark's own convention."""
    record = found.record
    firsts = [sum(record.step_sizes[:t]) + 1 for t in range(len(record.step_sizes))]
    rows = [range(first, first + size) for first, size in zip(firsts, record.step_sizes, strict=True)]
    scores = score(confusions(record), rows, record.background)
    return Run(found.path, record, scores, found.digest)


def slug(name: str, *identity: str) -> str:
    """Return ``name`` cut to letters that are safe in a path and a URL, with a digest of ``identity``."""
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80]
    digest = sha256_of("\n".join(identity).encode("utf-8", "backslashreplace"))[:8]
    return f"{safe}-{digest}" if safe else digest


def place_slug(record: Record) -> str:
    """Return the name of a folder for all runs of a protocol and model: a board's, where they are on one."""
    split = [] if record.split == "test" else [record.split]
    return slug("-".join([record.protocol, record.model, *split]), *_place(record))


def _place(record: Record) -> tuple[str, ...]:
    identity = (record.protocol_digest, record.model)
    return identity if record.split == "test" else (*identity, record.split)


def is_bound(record: Record) -> bool:
    """Whether a run learnt all classes at once: an upper bound of other boards."""
    return len(record.step_sizes) == 1


def later_steps(record: Record) -> Sequence[StepRecord]:
    """Return the incremental steps, or the only one of a joint run: what costs are counted over."""
    return record.steps[1:] or record.steps


def shared_gpu(steps: Iterable[StepRecord]) -> bool:
    """Tell whether other processes used the GPU in one of ``steps``: times and energy are not its own."""
    return any(tells_of_others(step.energy_notes) for step in steps)


def peak_bytes(record: Record, step: StepRecord, phases: Iterable[str] | None = None) -> int | None:
    """Return the peak over ``phases`` (all) that were measured: CUDA's allocated bytes, or live tensors."""
    names = step.peak_bytes.keys() if phases is None else phases
    peaks = [_bytes(record, step.peak_bytes[name]) for name in names if name in step.peak_bytes]
    return max((peak for peak in peaks if peak is not None), default=None)


def _bytes(record: Record, peak: PeakBytes) -> int | None:
    return peak.cuda_allocated if record.environment.device == "cuda" else peak.live_tensors


def inputs(record: Record, board: Board) -> NetScoreInputs:
    """Return NetScore's p and m of a finished run: its last step's."""
    last = record.steps[-1]
    return netscore_inputs(board, last.parameters, comparable(last.compute), record.batch_size)


def comparable(compute: Compute) -> Compute:
    """Return counts without lower bounds: those in which an operator that may be a product is zero."""
    if suspects(compute.uncounted):
        compute = replace(compute, inference_macs=None, forward_macs=None)
    return replace(compute, train_flops=None) if suspects(compute.train_uncounted) else compute


def _measures(record: Record, scores: RunScores, inputs: Mapping[Board, NetScoreInputs]) -> Measures:
    if record.status != "ok":
        return {}
    return _accuracy(scores, inputs) | _size(record, inputs["train"]) | _memory(record) | _time(record)


def _accuracy(scores: RunScores, inputs: Mapping[Board, NetScoreInputs]) -> dict[str, float | None]:
    final = scores.final
    percent = {
        "miou_all_percent": final.all,
        "miou_old_percent": final.old,
        "miou_new_percent": final.new,
        "miou_average_percent": scores.average,
        "forgetting_points": scores.forgetting,
    }
    values = {key: None if value is None else 100 * value for key, value in percent.items()}
    netscores = {f"netscore_{b}": netscore(values["miou_all_percent"], *costs) for b, costs in inputs.items()}
    return values | netscores


def _size(record: Record, train: NetScoreInputs) -> dict[str, float | None]:
    last = record.steps[-1]
    parameters, compute = last.parameters, comparable(last.compute)
    per_image = train.macs_billions
    return {
        "parameters_total": parameters.total,
        "parameters_trainable": parameters.trainable,
        "parameters_deployed": parameters.deployed,
        "trainable_percent": 100 * parameters.trainable / parameters.deployed
        if parameters.deployed
        else None,
        "inference_macs": compute.inference_macs,
        "forward_macs": compute.forward_macs,
        "train_flops": compute.train_flops,
        "train_macs_per_image": None if per_image is None else per_image * 1e9,
        "state_bytes": last.state_bytes,
        "checkpoint_bytes": last.checkpoint_bytes,
    }


def _memory(record: Record) -> dict[str, float | None]:
    phases: dict[str, tuple[str, ...] | None] = {
        "peak_bytes": None,
        "peak_train_bytes": ("train", "instrumented"),
        "peak_prepare_bytes": ("prepare",),
        "peak_consolidate_bytes": ("consolidate",),
        "peak_evaluate_bytes": ("evaluate",),
    }
    steps = later_steps(record)
    return {key: _largest([peak_bytes(record, s, names) for s in steps]) for key, names in phases.items()}


def _largest(values: Sequence[int | None]) -> int | None:
    return None if None in values else max((value for value in values if value is not None), default=None)


def _time(record: Record) -> dict[str, float | None]:
    later = later_steps(record)
    timed = sum(step.seconds.timed_iterations for step in later)
    joules = _sum(later, lambda step: step.energy_joules)
    train = _sum(later, lambda step: step.seconds.train)
    phases: dict[str, Callable[[Seconds], float]] = {
        "seconds_total": lambda s: s.prepare + s.instrumented + s.train + s.data_wait + s.consolidate,
        "seconds_prepare": lambda s: s.prepare,
        "seconds_train": lambda s: s.instrumented + s.train,
        "seconds_data_wait": lambda s: s.data_wait,
        "seconds_consolidate": lambda s: s.consolidate,
        "seconds_evaluate": lambda s: s.evaluate,
    }
    iteration = {
        "iteration_seconds": train / timed if train is not None and timed else None,
        "iteration_joules": joules / timed if joules is not None and timed else None,
        "latency_seconds": record.steps[-1].latency_seconds,
    }
    sums = {key: sum(phase(step.seconds) for step in record.steps) for key, phase in phases.items()}
    if shared_gpu(later):
        iteration = dict.fromkeys(iteration)
    return iteration | (dict.fromkeys(sums) if shared_gpu(record.steps) else sums)


def _sum(steps: Sequence[StepRecord], value: Callable[[StepRecord], float | None]) -> float | None:
    values = [value(step) for step in steps]
    return None if None in values else sum(v for v in values if v is not None)
