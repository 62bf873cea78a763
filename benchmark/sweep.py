"""A grid of runs: what is recorded already is skipped, and no failure stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from benchmark.errors import MethodError, RecordError
from benchmark.finding import find_method
from benchmark.protocols import load_protocol
from benchmark.record import Record, read_record
from benchmark.recording import RunSpec
from benchmark.run import check_fits, execute, resolve

Decision = Literal["run", "recorded", "failed before", "does not apply", "named twice"]


class Identity(NamedTuple):
    """What makes two runs the same run."""

    protocol_digest: str
    variant: str
    source_digest: str
    seed: int


@dataclass(frozen=True)
class Entry:
    """One cell of the grid, what was decided about it, and how it ended (None: not run)."""

    spec: RunSpec
    decision: Decision
    status: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Grid:
    """Everything a sweep combines; ``models`` may hold None, a protocol's default preset."""

    methods: Sequence[str]
    protocols: Sequence[str]
    models: Sequence[str | None]
    seeds: Sequence[int]

    def specs(self, template: RunSpec) -> Iterator[RunSpec]:
        """Yield a spec for every cell; methods vary fastest, so that they share a fresh step 0."""
        for protocol in self.protocols:
            for model in self.models:
                for seed in self.seeds:
                    for method in self.methods:
                        yield replace(template, method=method, protocol=protocol, model=model, seed=seed)


def recorded_runs(results: Path) -> dict[Identity, Record]:
    """Return the records under ``results`` by identity, a good one before a failed one.

    Files that are no records, or broken ones, say nothing here: the report names them.
    """
    found: dict[Identity, Record] = {}
    for path in sorted(results.rglob("*.json")):
        try:
            record = read_record(path)
        except RecordError:
            continue
        key = Identity(record.protocol_digest, record.variant, record.source_digest, record.seed)
        if key not in found or found[key].status != "ok":  # names sort by time: the last failure stands
            found[key] = record
    return found


def decide(spec: RunSpec, recorded: dict[Identity, Record], retry: bool, planned: set[Identity]) -> Entry:
    """Decide whether a cell is run, and add it to what is ``planned`` if so. Raises for unknown names.

    A run that was interrupted did not fail: it is run again, as one that was never recorded.
    """
    variant = find_method(spec.method, spec.params)
    protocol = load_protocol(spec.protocol, spec.model, spec.split)
    try:
        check_fits(variant, protocol)
    except MethodError as error:
        return Entry(spec, "does not apply", reason=str(error))
    key = Identity(protocol.digest, variant.text, variant.source_digest, spec.seed)
    if key in planned:
        return Entry(spec, "named twice")
    record = recorded.get(key)
    if record is not None and record.status == "ok":
        return Entry(spec, "recorded", "ok")
    if record is not None and record.status != "interrupted" and not retry:
        return Entry(spec, "failed before", record.status, record.error)
    planned.add(key)
    return Entry(spec, "run")


def sweep(
    grid: Grid, template: RunSpec, retry: bool = False, on_entry: Callable[[Entry], None] = lambda entry: None
) -> list[Entry]:
    """Run a grid in this process and return every cell with how it ended.

    Names, data and device are checked for the whole grid first, so that no hours are spent on the first
    half of one that cannot be finished. An interrupt ends the sweep; what was done stays recorded.
    """
    recorded, planned = recorded_runs(template.results), set[Identity]()
    entries = [decide(spec, recorded, retry, planned) for spec in grid.specs(template)]
    for spec in {(e.spec.protocol, e.spec.model): e.spec for e in entries if e.decision == "run"}.values():
        resolve(spec)
    done: list[Entry] = []
    for cell in entries:
        entry = _run(cell) if cell.decision == "run" else cell
        done.append(entry)
        on_entry(entry)
    return done


def _run(entry: Entry) -> Entry:
    record = execute(resolve(entry.spec)).record
    return replace(entry, status=record.status, reason=record.error)
