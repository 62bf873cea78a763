"""Check a method, run what is missing, validate what it left, and bundle it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.check import Report as Checked
from benchmark.check import check
from benchmark.errors import MethodError, RecordError
from benchmark.finding import Variant, adapter_files, find_method, method_files
from benchmark.protocol import Protocol
from benchmark.protocols import load_protocol
from benchmark.provenance import source_of_harness
from benchmark.recording import RunSpec
from benchmark.runtime import DeviceChoice
from benchmark.submit.bundle import Bundle, write_bundle
from benchmark.sweep import Entry, Grid, decide, recorded_runs, sweep
from benchmark.validate import Asked, Report, validate
from benchmark.validate.context import own_protocols
from benchmark.validate.reading import Subject, read_all


@dataclass(frozen=True)
class Submission:
    """What a user asks for. ``reference``: run and bundle the protocols' reference method as well."""

    method: str
    protocols: tuple[str, ...]
    model: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    out: Path | None = None
    results: Path = Path("results")
    data_root: Path | None = None
    device: DeviceChoice = "auto"
    workers: int = 0
    reference: bool = False


@dataclass(frozen=True)
class Submitted:
    """How far it came: ``bundle`` is None where the check or the validation refused something."""

    checked: Checked
    validated: Report | None = None
    bundle: Bundle | None = None


@dataclass(frozen=True)
class Heard:
    """Whom to tell what, on the way."""

    checked: Callable[[Checked], object] = lambda report: None
    entry: Callable[[Entry], None] = lambda entry: None
    validated: Callable[[Report], object] = lambda report: None


@dataclass(frozen=True)
class _Plan:
    """A submission whose names are all resolved, before anything is run."""

    asked: Submission
    variant: Variant
    protocols: tuple[Protocol, ...]
    out: Path

    @property
    def references(self) -> tuple[str, ...]:
        """The methods to run beside the one that is submitted."""
        names = {protocol.joint_method for protocol in self.protocols} if self.asked.reference else set()
        return tuple(sorted(names - {self.variant.text}))


def submit(asked: Submission, heard: Heard | None = None) -> Submitted:
    """Check, run, validate and bundle, in this order; each stops where it finds something wrong.

    What is recorded under ``results`` is not run again. Raises MethodError, ProtocolError, DataError and
    RecordError, one sentence, for what cannot be submitted, before anything is run.
    """
    heard = heard or Heard()
    plan = _planned(asked)
    checked = check(asked.method)
    heard.checked(checked)
    if not checked.passed:
        return Submitted(checked)
    _run(plan, heard)
    records = _records(plan)
    validated = validate([subject.path for subject in records], _believed(plan))
    heard.validated(validated)
    if validated.errors:
        return Submitted(checked, validated)
    bundle = write_bundle(plan.out, plan.variant, records, checked, validated)
    return Submitted(checked, validated, bundle)


def _planned(asked: Submission) -> _Plan:
    """Resolve every name, and refuse what would make the runs worthless."""
    variant = find_method(asked.method)
    _check_name(variant)
    protocols = tuple(load_protocol(name, asked.model) for name in asked.protocols)
    safe = re.sub(r"[^A-Za-z0-9._=-]+", "-", variant.text)[:80]
    out = asked.out or Path("runs") / "submission" / safe
    if out.exists():
        raise RecordError(f"{out} exists already and is not written over; expected a new folder in --out")
    template = RunSpec(asked.method, asked.protocols[0], asked.model, results=asked.results)
    entries = [decide(spec, {}, False, set()) for spec in _grid(asked).specs(template)]
    refused = next((entry.reason for entry in entries if entry.decision == "does not apply"), None)
    if refused is not None:
        raise MethodError(refused)
    plan = _Plan(asked, variant, protocols, out)
    recorded = recorded_runs(asked.results)
    wanted = _grid(asked, *plan.references).specs(template)
    if any(decide(spec, recorded, False, set()).decision == "run" for spec in wanted):
        _check_source()
    return plan


def _check_name(variant: Variant) -> None:
    name, file = variant.method.name, adapter_files(variant.method)[0]
    known = method_files().get(name)
    if known is not None and not known.samefile(file):
        raise MethodError(f"{file} has the name of a method there is, {name!r}; expected one of its own")


def _check_source() -> None:
    """Raise RecordError where new records would name no clean commit: they would be refused after hours."""
    source = source_of_harness()
    if source.commit is None:
        raise RecordError("runs from outside of a checkout name no commit; expected a clone of the project")
    if source.dirty is not False:
        raise RecordError("the checkout holds changes that are not committed; commit them before the runs")


def _grid(asked: Submission, *references: str) -> Grid:
    return Grid((*references, asked.method), asked.protocols, (asked.model,), asked.seeds)


def _run(plan: _Plan, heard: Heard) -> None:
    asked = plan.asked
    template = RunSpec(
        asked.method,
        asked.protocols[0],
        data_root=asked.data_root,
        results=asked.results,
        device=asked.device,
        workers=asked.workers,
    )
    sweep(_grid(asked, *plan.references), template, on_entry=heard.entry)


def _records(plan: _Plan) -> list[Subject]:
    """Return the record of each run asked for, a good one before a failed one, else the newest."""
    found = dict[tuple[str, str, int], Subject]()
    digests = {protocol.digest for protocol in plan.protocols}
    variants = [plan.variant, *map(find_method, plan.references)]
    sources = {(variant.text, variant.source_digest) for variant in variants}
    for subject in read_all([plan.asked.results]).subjects:
        record = subject.record
        key = (record.protocol_digest, record.variant, record.seed)
        asked = record.protocol_digest in digests and record.seed in plan.asked.seeds
        if not asked or (record.variant, record.source_digest) not in sources:
            continue
        if key not in found or _rank(subject) > _rank(found[key]):
            found[key] = subject
    if not any(s.record.status == "ok" and s.record.variant == plan.variant.text for s in found.values()):
        raise RecordError(f"no run of {plan.variant.text} finished; expected one at least to submit")
    return [found[key] for key in sorted(found, key=lambda key: (found[key].record.protocol, *key))]


def _rank(subject: Subject) -> tuple[bool, str]:
    return subject.record.status == "ok", subject.record.finished


def _believed(plan: _Plan) -> Asked:
    folders = dict.fromkeys([plan.asked.results, Path("results")])
    file = adapter_files(plan.variant.method)[0]
    return Asked(
        against=tuple(folder for folder in folders if folder.is_dir()),
        adapters=() if plan.variant.method.name in method_files() else (file,),
        own=tuple(own_protocols(plan.asked.protocols, plan.asked.model)),
        data_root=plan.asked.data_root,
    )
