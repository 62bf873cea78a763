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

Decision = Literal["run", "recorded", "failed before", "does not apply"]


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
        if key not in found or record.status == "ok":
            found[key] = record
    return found


def decide(spec: RunSpec, recorded: dict[Identity, Record], retry: bool) -> Entry:
    """Decide whether a cell is run. Raises for names that do not exist, before anything runs."""
    variant = find_method(spec.method, spec.params)
    protocol = load_protocol(spec.protocol, spec.model, spec.split)
    try:
        check_fits(variant, protocol)
    except MethodError as error:
        return Entry(spec, "does not apply", reason=str(error))
    key = Identity(protocol.digest, variant.text, variant.source_digest, spec.seed)
    if (record := recorded.get(key)) is None:
        return Entry(spec, "run")
    if record.status == "ok":
        return Entry(spec, "recorded", "ok")
    return Entry(spec, "run") if retry else Entry(spec, "failed before", record.status, record.error)


def sweep(
    grid: Grid, template: RunSpec, retry: bool = False, on_entry: Callable[[Entry], None] = lambda entry: None
) -> list[Entry]:
    """Run a grid in this process and return every cell with how it ended.

    Names are checked for the whole grid first. An interrupt ends the sweep; what was done stays recorded.
    """
    recorded = recorded_runs(template.results)
    entries = [decide(spec, recorded, retry) for spec in grid.specs(template)]
    done: list[Entry] = []
    for planned in entries:
        entry = _run(planned) if planned.decision == "run" else planned
        done.append(entry)
        on_entry(entry)
    return done


def _run(entry: Entry) -> Entry:
    record = execute(resolve(entry.spec)).record
    return replace(entry, status=record.status, reason=record.error)
