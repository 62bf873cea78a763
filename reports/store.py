"""What a build keeps for the next one beside the site: records as read, draws and ranges of rows, files seen,
templates as compiled.

Each entry is known by the digest of the files and code it was made from, so that nothing is shown which a
build without it would not show. What cannot be read or written costs only the time to make it again.
"""

from __future__ import annotations

import gc
import hashlib
import io
import marshal
import os
import pickle
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import benchmark.consistency
import benchmark.data.index
import benchmark.measure.operators
import benchmark.measure.others
import benchmark.metrics
import benchmark.plainarrays
import benchmark.record
from benchmark.data.index import default_cache
from benchmark.record import sha256_of, write_atomic
from reports.bootstrap import RankRange
from reports.ranges import RowDraws
from reports.runs import Run
from reports.sightings import Sighting, Sightings

SHARDS = 64
_SEAL_BYTES = 32
_SOURCES = (
    "load", "reading", "runs", "compact", "perimage", "bootstrap", "ranges", "resampling", "sightings",
    "markup", "store",
)  # fmt: skip
_MODULES = (
    benchmark.consistency,
    benchmark.data.index,
    benchmark.measure.operators,
    benchmark.measure.others,
    benchmark.metrics,
    benchmark.plainarrays,
    benchmark.record,
)
_PACKAGES = ("jinja2", "numpy", "pydantic")


class KeptRanges(NamedTuple):
    """Rank ranges of a board's rows in their order, or why a row has none; ``key``: what they follow from."""

    key: str
    ranges: tuple[Mapping[str, RankRange], ...]
    unranged: tuple[str, ...]


class Store:
    """A folder of the user's cache; what others could have written to is not read, as it may hold code."""

    def __init__(self, results: Path, folder: Path | None = None) -> None:
        self._folder = (default_cache() if folder is None else folder) / "report"
        self._results = sha256_of(str(results.resolve()).encode("utf-8", "backslashreplace"))[:16]
        self._name = f"{self._results}-{_code()[:16]}"

    def runs(self) -> dict[str, Run]:
        """Return the runs of the last build by path; each has the digest of the file it was read from."""
        found: dict[str, Run] = {}
        for shard in range(SHARDS):
            found |= _unpickled(self._read(f"runs-{shard}")) or {}
        return found

    def keep_runs(self, shard: int, runs: Iterable[Run]) -> None:
        """Keep the runs of one shard, of which :func:`shard_of` says which they are."""
        self._pickle(f"runs-{shard}", {run.path: run for run in runs})

    def sightings(self) -> dict[str, Sighting]:
        """Return what the last build knew of files by their paths."""
        content = self._read("sightings")
        return marshal.loads(content) if content else {}

    def keep_sightings(self, sightings: Sightings) -> None:
        """Keep what a build has seen of files."""
        if sightings.news:
            self._write("sightings", marshal.dumps(sightings.fresh))  # in a third of pickle's time

    def ranges(self, board: str) -> KeptRanges | None:
        """Return the rank ranges of a board's rows, and what they follow from."""
        found: KeptRanges | None = _unpickled(self._read(f"ranges-{board}"))
        return found

    def keep_ranges(self, board: str, ranges: KeptRanges) -> None:
        """Keep the rank ranges of a board's rows."""
        self._pickle(f"ranges-{board}", ranges)

    def draws(self, board: str) -> dict[str, RowDraws]:
        """Return the draws of a board's rows by their keys."""
        content = self._read(f"draws-{board}")
        if not content:
            return {}
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            keys, sets, percent, decibel = (arrays[name] for name in ("keys", "sets", "percent", "decibel"))
        return {
            str(key): RowDraws(str(test_set), *lines)
            for key, test_set, *lines in zip(keys, sets, percent, decibel, strict=True)
        }

    def keep_draws(self, board: str, draws: Mapping[str, RowDraws]) -> None:
        """Keep the draws of a board's rows by their keys."""
        file = io.BytesIO()
        sets, percent, decibel = zip(*draws.values(), strict=True)
        np.savez(file, keys=list(draws), sets=sets, percent=np.stack(percent), decibel=np.stack(decibel))
        self._write(f"draws-{board}", file.getvalue())

    def template(self, key: str) -> bytes | None:
        """Return what a template was compiled to."""
        content = self._read(f"template-{key}")
        return None if content is None else bytes(content)

    def keep_template(self, key: str, code: bytes) -> None:
        """Keep what a template was compiled to."""
        self._write(f"template-{key}", code)

    def clean(self) -> None:
        """Remove what builds of the same records by other code have kept."""
        for path in self._folder.glob(f"{self._results}-*"):
            if not path.name.startswith(f"{self._name}-"):
                with suppress(OSError):
                    path.unlink()

    def _pickle(self, name: str, value: object) -> None:
        self._write(name, pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._name}-{name}"

    def _read(self, name: str) -> memoryview | None:
        path = self._path(name)
        try:
            if not all(map(_only_mine, (path, self._folder))):
                return None
            content = memoryview(path.read_bytes())
        except OSError:
            return None
        seal, body = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
        return body if hashlib.sha256(body).digest() == seal else None

    def _write(self, name: str, body: bytes) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._path(name), hashlib.sha256(body).digest() + body)


def shard_of(path: str) -> int:
    """Return which shard a run's path belongs to: few are written where few records change."""
    return int(sha256_of(path.encode("utf-8", "backslashreplace"))[:4], 16) % SHARDS


def _unpickled(content: memoryview | None) -> Any:
    if not content:
        return None
    with _without_gc():
        return pickle.loads(content)


def _only_mine(path: Path) -> bool:
    found = path.stat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return not shared and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


@contextmanager
def _without_gc() -> Iterator[None]:
    """Hold back the collector, which goes through all objects again and again while many are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def _code() -> str:
    files = [Path(__file__).with_name(f"{name}.py") for name in _SOURCES]
    files += [Path(module.__file__ or "") for module in _MODULES]
    versions = [sys.version, *(version(name) for name in _PACKAGES)]
    return sha256_of(repr([[sha256_of(path.read_bytes()) for path in files], versions]).encode())
