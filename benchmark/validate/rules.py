"""The rules a record must keep before it counts, in the order in which they are said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmark.protocol import Protocol
from benchmark.validate import costs, identity, matrices, origin, plausibility
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault, Finding
from benchmark.validate.reading import Read, Subject, read_all


class Rule(NamedTuple):
    """A rule's name, and the function that yields what a record breaks of it."""

    name: str
    check: Callable[[Subject, Context], Iterator[Fault]]


RULES = (
    Rule("finite", costs.finite),
    Rule("parts", identity.parts),
    Rule("text", identity.text),
    Rule("status", identity.status),
    Rule("place", identity.place),
    Rule("protocol", identity.protocol),
    Rule("variant", identity.variant),
    Rule("command", identity.command),
    Rule("commit", origin.commit),
    Rule("source", origin.source),
    Rule("when", origin.when),
    Rule("duplicate", origin.duplicate),
    Rule("copy", origin.copy),
    Rule("image file", matrices.image_file),
    Rule("image sums", matrices.image_sums),
    Rule("pixels", matrices.pixels),
    Rule("test images", matrices.test_images),
    Rule("trained images", matrices.trained_images),
    Rule("parameters", costs.parameters),
    Rule("compute", costs.compute),
    Rule("losses", costs.losses),
    Rule("seconds", costs.seconds),
    Rule("memory", costs.memory),
    Rule("environment", costs.environment),
    Rule("speed", plausibility.speed),
    Rule("beside reference", plausibility.beside_reference),
    Rule("bound", plausibility.bound),
)
FIRST = ("finite", "parts")
"""Where one of these is broken the others are not tried: they take it for granted."""


@dataclass(frozen=True)
class Report:
    """What validating found. ``records``: how many could be read."""

    records: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings refuse a record."""
        return sum(finding.level == "error" for finding in self.findings)

    def lines(self) -> list[str]:
        """Return one line a finding, and the sum of them."""
        notes = len(self.findings) - self.errors
        said = [_count(self.records, "record"), _count(self.errors, "error"), _count(notes, "note")]
        return [*map(str, self.findings), f"{said[0]}: {said[1]}, {said[2]}"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Asked:
    """What to validate against.

    ``against``: folders of records that are believed; ``adapters``: files of methods that are not in the
    project; ``own``: protocols that do not ship with it; ``recount`` counts parameters and operations again,
    of submitted adapters only with ``trust_code``.
    """

    against: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()
    own: tuple[Protocol, ...] = ()
    data_root: Path | None = None
    recount: bool = False
    trust_code: bool = False


def validate(paths: Iterable[Path], asked: Asked | None = None) -> Report:
    """Try every rule on every record under ``paths``. No code that came with them is run unless trusted.

    Raises RecordError for a path that does not exist, and where there is no record at all.
    """
    asked = asked or Asked()
    read = read_all(paths)
    context = Context(
        read.subjects,
        _references(asked.against, read),
        {**read.adapters, **{path.stem: path for path in asked.adapters}},
        asked.own,
        asked.data_root,
    )
    rules = [*RULES, *_recount(asked)]
    found = [finding for subject in read.subjects for finding in _findings(subject, context, rules)]
    return Report(len(read.subjects), (*read.findings, *found))


def _references(folders: Iterable[Path], read: Read) -> tuple[Subject, ...]:
    """Return the records that are believed: none of those to be validated, nor a copy of one."""
    mine = {subject.path.resolve() for subject in read.subjects}
    named = {subject.path.name: subject.path for subject in read.subjects}
    known = [folder for folder in folders if folder.is_dir() and any(folder.rglob("*.json"))]

    def is_mine(path: Path) -> bool:
        copy = named.get(path.name)
        return path.resolve() in mine or (copy is not None and copy.read_bytes() == path.read_bytes())

    return tuple(s for s in read_all(known).subjects if not is_mine(s.path)) if known else ()


def _recount(asked: Asked) -> list[Rule]:
    if not asked.recount:
        return []
    from benchmark.validate.recount import Recount  # the only one to need torch

    return [Rule("recount", Recount(asked.trust_code))]


def _findings(subject: Subject, context: Context, rules: Iterable[Rule]) -> Iterator[Finding]:
    broken = False
    for rule in rules:
        if broken and rule.name not in FIRST:
            return
        for fault in rule.check(subject, context):
            broken |= rule.name in FIRST
            yield Finding(str(subject.path), rule.name, fault.sentence, fault.level)
