"""Records in, runs out: read and scored by all CPUs, but for files that are as the last build saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmark.record import sha256_of
from reports.compact import compact
from reports.load import Found, LeftOut, chosen, read_file, record_names
from reports.parallel import chunks, run_jobs
from reports.runs import Run, scored
from reports.sightings import Sightings, Stamp, lasting, stamp

CHUNK = 200
"""Records read by one job; fewer in all are read without another process."""
TOGETHER = 10
"""Records that are worked on at once."""
DERIVED = ("measures", "inputs", "slug", "page", "hardware", "hidden", "disturbed")
"""What is computed of a run in the process that reads it, and kept with it."""


class Runs(NamedTuple):
    """All runs of a folder, in the order of their paths. ``changed``: paths where ``known`` had another."""

    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]
    changed: tuple[str, ...]


def read_runs(
    results: Path,
    known: Mapping[str, Run],
    processes: int | None = None,
    sightings: Sightings | None = None,
) -> Runs:
    """Read and score every record under ``results``; ``known``: runs of the last build by path.

    ``sightings``: what is known of the files (None: each is read). Raises RecordError where the folder does
    not exist.
    """
    seen = sightings or Sightings()
    names = record_names(results)
    runs: dict[str, Run | LeftOut] = {}
    unread: list[Unread] = []
    for name in names:
        path = f"{results}/{name}"
        before = stamp(path)
        last = known.get(name)
        if last and seen.known(path, before) == last.digest:
            runs[name] = last
        else:
            unread.append(Unread(name, lasting(before), last))
    jobs = [lambda some=some: _read(some, results) for some in chunks(unread, CHUNK)]
    changed = []
    read = [entry for part in run_jobs(jobs, processes) for entry in part]
    for one, entry in zip(unread, read, strict=True):
        if entry is None:
            assert one.last is not None
            runs[one.name] = one.last
        else:
            runs[one.name] = entry
            changed.append(one.name)
        found = runs[one.name]
        if isinstance(found, Run):
            seen.note(f"{results}/{one.name}", one.before, found.digest)
    kept, others = chosen([run for name in names if isinstance(run := runs[name], Run)])
    broken = [entry for entry in runs.values() if isinstance(entry, LeftOut)]
    paths_kept = {run.path for run in kept}
    changed = [name for name in changed if name in paths_kept]
    changed += known.keys() - paths_kept
    left_out = sorted([*broken, *others], key=lambda entry: entry.path)
    return Runs(tuple(kept), tuple(left_out), tuple(changed))


class Unread(NamedTuple):
    """A record's file that has to be read, its lasting stamp before that, and the run of the last build."""

    name: str
    before: Stamp | None
    last: Run | None


def _read(some: Sequence[Unread], results: Path) -> list[Run | LeftOut | None]:
    """Return the run of each record, or why it has none; None where it is what the last build read.

    One thing after the other, each of a few: to do all with one record after the other takes a fifth longer,
    as the code and data of each thing push those of the next out of the CPU's caches.
    """
    entries: list[Run | LeftOut | None] = []
    for few in chunks(some, TOGETHER):
        contents = [_content(one, results) for one in few]
        found = [
            read_file(content, one.name) if isinstance(content, bytes) else content
            for content, one in zip(contents, few, strict=True)
        ]
        small = [replace(e, record=compact(e.record)) if isinstance(e, Found) else e for e in found]
        runs = [scored(entry) if isinstance(entry, Found) else entry for entry in small]
        for name, run in product(DERIVED, runs):
            if isinstance(run, Run):
                getattr(run, name)
        entries += runs
    return entries


def _content(one: Unread, results: Path) -> bytes | LeftOut | None:
    """Return what a record's file holds, or why nothing; None where it is what the last build read."""
    try:
        with open(f"{results}/{one.name}", "rb") as file:  # noqa: PTH123  # of thousands: a Path takes as long
            content = file.read()
    except OSError as error:
        return LeftOut(one.name, f"record {one.name} cannot be read: {error.strerror}")
    return None if one.last and one.last.digest == sha256_of(content) else content
