"""What a rule may ask beside the record itself: protocols, data, other records, sources, the time."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path

from benchmark.errors import MethodError
from benchmark.finding import method_files, methods_folders
from benchmark.protocol import Protocol
from benchmark.protocols import JOINT, load_protocol, preset_files, protocol_ids
from benchmark.provenance import History
from benchmark.record import Record, StepRecord
from benchmark.validate.adapters import digest_of
from benchmark.validate.reading import Subject
from benchmark.validate.truth import Truth, truth_of_data, truth_of_records

Measure = Callable[[StepRecord, Record], float | None]


@dataclass(frozen=True)
class Context:
    """``references``: records that are believed; ``adapters``: those submitted, by method; ``own``: protocols
    beside those that ship with the project."""

    subjects: tuple[Subject, ...]
    references: tuple[Subject, ...] = ()
    adapters: Mapping[str, Path] = field(default_factory=dict)
    own: tuple[Protocol, ...] = ()
    data_root: Path | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def history(self) -> History:
        """The commits of this checkout."""
        return History()

    @cached_property
    def _protocols(self) -> dict[tuple[str, str, str], Protocol]:
        return {(protocol.id, protocol.model.name, protocol.split): protocol for protocol in self.own}

    @cached_property
    def _shipped(self) -> tuple[frozenset[str], frozenset[str]]:
        return frozenset(protocol_ids()), frozenset(preset_files())

    def protocol(self, record: Record) -> Protocol | None:
        """Return the protocol that a record names; None where there is none here."""
        key = (record.protocol, record.model, record.split)
        ids, models = self._shipped
        # Only names that are listed: a record must not make a path of its own be opened.
        if key not in self._protocols and record.protocol in ids and record.model in models:
            self._protocols[key] = load_protocol(record.protocol, record.model, record.split)
        return self._protocols.get(key)

    def joint(self, protocol: Protocol) -> Protocol | None:
        """Return the joint bound of a protocol; None where it has none or there is none here."""
        if protocol.joint is None:
            return None
        joint = f"{protocol.id.removesuffix(f'-{protocol.scenario}-{protocol.setting}')}-{JOINT}"
        key = (joint, protocol.model.name, protocol.split)
        if (
            key not in self._protocols
            and joint in self._shipped[0]
            and protocol.model.name in self._shipped[1]
        ):
            self._protocols[key] = load_protocol(joint, protocol.model.name, protocol.split)
        return self._protocols.get(key)

    @cached_property
    def _boards(self) -> dict[str, list[Subject]]:
        boards: dict[str, list[Subject]] = {}
        for subject in chain(self.references, self.subjects):
            boards.setdefault(subject.record.protocol_digest, []).append(subject)
        return boards

    def others(self, subject: Subject) -> Sequence[Subject]:
        """Return the other records of the same board, those believed first."""
        return [s for s in self._boards.get(subject.record.protocol_digest, []) if s is not subject]

    def twin(self, subject: Subject) -> Subject | None:
        """Return another record of the same run."""
        same = self._runs.get(_run(subject.record), [])
        return next((other for other in same if other is not subject), None)

    @cached_property
    def _runs(self) -> dict[tuple[object, ...], list[Subject]]:
        runs: dict[tuple[object, ...], list[Subject]] = {}
        for subject in chain(self.references, self.subjects):
            runs.setdefault(_run(subject.record), []).append(subject)
        return runs

    def of_board(self, digest: str | None) -> Sequence[Subject]:
        """Return the records of the board with this digest."""
        return self._boards.get(digest or "", [])

    def measured(
        self, subject: Subject, index: int, measure: Measure, variant: str | None = None
    ) -> Sequence[float]:
        """Return a measure of step ``index`` in other finished runs of a board on the same hardware, sorted.

        Of those believed, if there are any; of one ``variant`` alone where it is given.
        """
        group = self._group(subject.record.protocol_digest, subject.record.environment.hardware)
        key = (id(group), index, measure, variant)
        if key not in self._measured:
            records = [s.record for s in group if variant in (None, s.record.variant)]
            found = (measure(r.steps[index], r) for r in records if index < len(r.steps))
            self._measured[key] = sorted(value for value in found if value is not None)
        values = self._measured[key]
        own = measure(subject.record.steps[index], subject.record)
        among = id(subject) in self._members[id(group)] and variant in (None, subject.record.variant)
        if own is None or not among:
            return values
        place = bisect_left(values, own)
        return [*values[:place], *values[place + 1 :]]

    @cached_property
    def _measured(self) -> dict[tuple[object, ...], list[float]]:
        return {}

    @cached_property
    def _members(self) -> dict[int, frozenset[int]]:
        return {}

    @cached_property
    def _groups(self) -> dict[tuple[str, str], list[Subject]]:
        return {}

    def _group(self, digest: str, hardware: str) -> list[Subject]:
        """Return the finished runs of a board on one hardware: those believed, else those submitted."""
        key = (digest, hardware)
        if key not in self._groups:
            found = [s for s in self.of_board(digest) if s.record.environment.hardware == hardware]
            finished = [s for s in found if s.record.status == "ok"]
            group = [s for s in finished if id(s) in self._believed] or finished
            self._groups[key], self._members[id(group)] = group, frozenset(map(id, group))
        return self._groups[key]

    @cached_property
    def _believed(self) -> frozenset[int]:
        return frozenset(map(id, self.references))

    @cached_property
    def _truths(self) -> dict[str, Truth | None]:
        return {}

    def truth(self, subject: Subject) -> Truth | None:
        """Return what the data say of a record's board, else what another record says; None: neither.

        None too where the record is of another form than its board: other rules say so.
        """
        key = subject.record.protocol_digest
        if key not in self._truths:
            self._truths[key] = self._truth(subject.record)
        truth = self._truths[key]
        if truth is None or (truth.source == str(subject.path) and not self.others(subject)):
            return None
        shape = (len(subject.record.classes) + 1, len(subject.record.step_sizes))
        return truth if (truth.pixels.shape[1], len(truth.trained)) == shape else None

    def _truth(self, record: Record) -> Truth | None:
        known = self.protocol(record)
        said = (
            truth_of_data(known, self.data_root) if known and known.digest == record.protocol_digest else None
        )
        return said or truth_of_records(self.of_board(record.protocol_digest))

    def source_here(self, record: Record) -> str:
        """Return the digest of the adapter that was submitted, else of the one that ships with the project.

        Raises MethodError where there is none.
        """
        folders = [*dict.fromkeys(path.parent for path in self.adapters.values()), *methods_folders()]
        return digest_of(record.method, record.params, {**method_files(), **self.adapters}, folders)

    def is_of_project(self, record: Record) -> bool:
        """Tell whether a record's source is the one that ships with the project."""
        try:
            here = digest_of(record.method, record.params, method_files(), methods_folders())
        except MethodError:
            return False
        return here == record.source_digest

    def source_at(self, record: Record, commit: str) -> str | None:
        """Return the digest the method's source had at a commit of this checkout; None if it had none."""
        key = (record.method, str(sorted(record.params.items(), key=str)), commit)
        if key not in self._earlier:
            with tempfile.TemporaryDirectory() as folder:
                methods = self.history.unpack(commit, "methods", Path(folder))
                self._earlier[key] = _digest_in(methods, record)
        return self._earlier[key]

    @cached_property
    def _earlier(self) -> dict[tuple[str, str, str], str | None]:
        return {}


def _run(record: Record) -> tuple[object, ...]:
    where = (record.protocol_digest, record.environment.hardware)
    return *where, record.variant, record.source_digest, record.seed, record.status


def _digest_in(methods: Path, record: Record) -> str | None:
    files = {file.stem: file for file in sorted(methods.glob("*.py"))}
    try:
        return digest_of(record.method, record.params, files, [methods])
    except MethodError:
        return None


def own_protocols(protocols: Sequence[str], model: str | None) -> Iterator[Protocol]:
    """Yield a user's own protocols and their joint bounds."""
    for name in protocols:
        protocol = load_protocol(name, model)
        yield protocol
        if protocol.joint is not None:
            yield load_protocol(protocol.joint, model)
