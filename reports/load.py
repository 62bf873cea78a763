"""Find and read records. What cannot be shown is named with its reason; nothing is dropped in silence."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from benchmark.consistency import check
from benchmark.errors import RecordError
from benchmark.record import Record, parse_record, sha256_of

PUBLISHED = "published"
SITE = ("site.json", "index.html")
"""Files that every site has."""


@dataclass(frozen=True)
class Found:
    """A record and its path, relative to the results folder and with forward slashes.

    ``digest``: SHA-256 of the file; empty where it was not read from one.
    """

    path: str
    record: Record
    digest: str = ""


class Recorded(Protocol):
    """Anything with a record and its path: as it was found, or scored."""

    @property
    def path(self) -> str:
        """Relative to the results folder."""

    @property
    def record(self) -> Record:
        """What the file holds."""


Entry = TypeVar("Entry", bound=Recorded)


@dataclass(frozen=True)
class LeftOut:
    """A file that is not on the page, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Loaded(NamedTuple):
    """All records of a folder, in the order of their paths."""

    found: tuple[Found, ...]
    left_out: tuple[LeftOut, ...]


def load(results: Path) -> Loaded:
    """Read every record under ``results``, its ``published`` folder and sites apart.

    Of several records of the same run (one variant, source, seed and hardware on one protocol) the newest
    is kept, as :func:`chosen` says. Raises RecordError where the folder does not exist.
    """
    read = [_read(path, path.relative_to(results).as_posix()) for path in record_paths(results)]
    kept, others = chosen([entry for entry in read if isinstance(entry, Found)])
    broken = [entry for entry in read if isinstance(entry, LeftOut)]
    return Loaded(tuple(kept), tuple(sorted([*broken, *others], key=lambda entry: entry.path)))


def record_paths(results: Path) -> list[Path]:
    """Return the files that should be records. Raises RecordError where there is no such folder."""
    return [results / name for name in record_names(results)]


def record_names(results: Path) -> list[str]:
    """Return the paths of :func:`record_paths`, relative to the folder and with forward slashes."""
    if not results.is_dir():
        raise RecordError(f"results folder {results} does not exist; expected a folder of run records")
    return sorted(_names(str(results), ""), key=lambda name: name.split("/"))


def _names(folder: str, start: str) -> Iterator[str]:
    """Yield the records below a folder. With :mod:`os`: paths of thousands take longer than their digests."""
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            name = start + entry.name
            if entry.is_dir(follow_symlinks=False):
                if name != PUBLISHED and not _is_site(entry.path):
                    yield from _names(entry.path, f"{name}/")
            elif name.endswith(".json") and not entry.name.startswith(".") and entry.is_file():
                yield name


def _is_site(folder: str) -> bool:
    """Whether a build left a site there: with copies of records, but without the counts beside them."""
    return all(Path(folder, name).is_file() for name in SITE)


def _read(path: Path, name: str) -> Found | LeftOut:
    try:
        return read_file(path.read_bytes(), name)
    except OSError as error:
        return LeftOut(name, f"record {name} cannot be read: {error.strerror}")


def read_file(content: bytes, name: str) -> Found | LeftOut:
    """Validate the content of a record's file; ``name`` is its path as the page shows it."""
    try:
        record = parse_record(content, Path(name))
        check(record)
    except RecordError as error:
        return LeftOut(name, str(error))
    return Found(name, record, sha256_of(content))


def chosen(found: Sequence[Entry]) -> tuple[list[Entry], list[LeftOut]]:
    """Return the records that are shown, in the order of their paths, and why the others are left out.

    Of several of the same run that is the newest. Of those with the digest of one protocol all must have its
    classes and steps; where they differ, those that most of them have are taken for the protocol's.
    """
    agreed, odd = _agreeing(found)
    kept, older = _newest(agreed)
    return kept, [*odd, *older]


def _agreeing(found: Sequence[Entry]) -> tuple[Sequence[Entry], list[LeftOut]]:
    shapes: dict[str, Counter[_Shape]] = defaultdict(Counter)
    for entry in found:
        shapes[entry.record.protocol_digest][_shape(entry.record)] += 1
    most = {digest: counts.most_common(1)[0][0] for digest, counts in shapes.items() if len(counts) > 1}
    if not most:
        return found, []
    odd = [e for e in found if _shape(e.record) != most.get(e.record.protocol_digest, _shape(e.record))]
    reason = "its classes or steps are not those of most records with its protocol's digest"
    beside = {entry.path for entry in odd}
    return [e for e in found if e.path not in beside], [LeftOut(entry.path, reason) for entry in odd]


_Shape = tuple[tuple[str, ...], tuple[int, ...], bool]


def _shape(record: Record) -> _Shape:
    return record.classes, record.step_sizes, record.background


def _newest(found: Sequence[Entry]) -> tuple[list[Entry], list[LeftOut]]:
    latest: dict[tuple[object, ...], Entry] = {}
    for entry in found:
        other = latest.setdefault(identity := _identity(entry.record), entry)
        if other is not entry and order(entry) > order(other):
            latest[identity] = entry
    kept = set(map(id, latest.values()))
    older = (entry for entry in found if id(entry) not in kept)
    left_out = [
        LeftOut(entry.path, f"older record of the same run as {latest[_identity(entry.record)].path}")
        for entry in older
    ]
    return sorted(latest.values(), key=lambda entry: entry.path), left_out


def _identity(record: Record) -> tuple[object, ...]:
    return (
        record.protocol_digest,
        record.model,
        record.split,
        record.method,
        record.variant,
        record.source_digest,
        record.seed,
        hardware(record),
    )


def hardware(record: Record) -> str:
    """Return what times and memory are comparable within."""
    return record.environment.hardware


def order(entry: Recorded) -> tuple[float, str]:
    """Return what is larger for the newer of two records of a run: when it finished, then its path."""
    return when(entry.record.finished), entry.path


def when(text: str) -> float:
    """Return an ISO 8601 time in seconds since 1970 (UTC where it names no zone); 0 where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
