"""Records in, runs out: read and scored by all CPUs, but for files that are as the last build saw them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.record import Record, sha256_of
from reports.load import Found, LeftOut, newest, read_file, record_paths
from reports.parallel import chunks, run_jobs
from reports.runs import Run, scored

CHUNK = 200
"""Records read by one job; fewer in all are read without another process."""


class Runs(NamedTuple):
    """All runs of a folder, in the order of their paths. ``changed``: paths where ``known`` had another."""

    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]
    changed: tuple[str, ...]


def read_runs(results: Path, known: Mapping[str, Run], processes: int | None = None) -> Runs:
    """Read and score every record under ``results``; ``known``: runs of the last build by path.

    Raises RecordError where the folder does not exist.
    """
    paths = record_paths(results)
    jobs = [lambda some=some: _read(some, results, known) for some in chunks(paths, CHUNK)]
    read = [entry for part in run_jobs(jobs, processes) for entry in part]
    runs = [known[entry] if isinstance(entry, str) else entry for entry in read]
    kept, older = newest([run for run in runs if isinstance(run, Run)])
    broken = [entry for entry in runs if isinstance(entry, LeftOut)]
    paths_kept = {run.path for run in kept}
    changed = [entry.path for entry in read if isinstance(entry, Run) and entry.path in paths_kept]
    changed += known.keys() - paths_kept
    left_out = sorted([*broken, *older], key=lambda entry: entry.path)
    return Runs(tuple(kept), tuple(left_out), tuple(changed))


def _read(paths: Sequence[Path], results: Path, known: Mapping[str, Run]) -> list[Run | LeftOut | str]:
    """Return each record's run, why it has none, or the path of one that is known."""
    return [_run(path, path.relative_to(results).as_posix(), known) for path in paths]


def _run(path: Path, name: str, known: Mapping[str, Run]) -> Run | LeftOut | str:
    try:
        content = path.read_bytes()
    except OSError as error:
        return LeftOut(name, f"record {name} cannot be read: {error.strerror}")
    if name in known and known[name].digest == sha256_of(content):
        return name
    found = read_file(content, name)
    if not isinstance(found, Found):
        return found
    run = scored(found)
    run = replace(run, record=_compact(run.record))
    assert (
        run.measures is not None and run.slug and run.hardware
    )  # computed here, in the process that read it
    return run


def _compact(record: Record) -> Record:
    """Hold the rows of confusion matrices as arrays: half of the memory of a record is in their integers."""
    steps = []
    for step in record.steps:
        kind = "I" if max(map(max, step.confusion)) < 2**32 else "q"
        rows: Any = tuple(array(kind, row) for row in step.confusion)
        steps.append(replace(step, confusion=rows))
    return replace(record, steps=tuple(steps))
