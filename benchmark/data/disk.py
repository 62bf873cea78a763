"""Decoded images kept on disk, for data whose decoding takes longer than reading does.

An entry is used only if it was made from exactly what is there now: the dataset and its version, the source
files' names, sizes and times of change, and the libraries that decode and resize. Anything else, a
broken file too, is made again in its place.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.data.memory import ArrayCache, Cache, Key

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset

_FORMAT = 1
_SEAL_BYTES = 32
_LOOK_SECONDS = 10
_SHAPE = np.dtype(("<u4", 3))  # height, width and channels, 0 for an array that has none
_HEAD_BYTES = _SEAL_BYTES + _SHAPE.itemsize
_log = logging.getLogger(__name__)


class DiskCache:
    """Arrays of one dataset in a folder, until that holds ``budget_bytes``, whoever put them there.

    A folder that cannot be written to, or a disk that is full, costs only the time to decode again.
    """

    def __init__(self, source: Dataset, folder: Path, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._source = source
        self._folder = folder
        self._writes = True
        self._shared = False
        self._look()

    def get(self, key: Key, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the array of ``key``, made now and kept if it still fits. It is not to be written to."""
        drawn_from = self._source.image_stamp(key.identity)
        if drawn_from is None:
            return make()
        origin = self._origin(key, f"{drawn_from}\0{self._source.stamp(key.identity)}")
        path = self._path(key)
        found = _load(path, origin)
        if found is not None:
            return found
        array = make()
        if self._writes:
            self._keep(path, origin, array)
        return array

    def share(self, processes: int) -> None:
        """Leave this process its part of what is not spent yet, by this or earlier processes."""
        self._look()
        self._shared = True
        self.budget_bytes = self.used_bytes + max(0, self.budget_bytes - self.used_bytes) // processes

    def _look(self) -> None:
        """See how much there is by now."""
        self.used_bytes = _bytes_below(self._folder)
        self._looked = time.monotonic()

    def _origin(self, key: Key, stamp: str) -> bytes:
        """Hash of all that the array depends on."""
        source = self._source
        return hashlib.sha256(
            repr((_FORMAT, _libraries(), source.name, source.version, source.location, *key, stamp)).encode()
        ).digest()

    def _path(self, key: Key) -> Path:
        """One file for each place and key, so that a change replaces what it makes stale."""
        name = hashlib.sha256(repr((self._source.location, *key)).encode()).hexdigest()[:32]
        return self._folder / self._source.name / name[:2] / f"{name[2:]}.bin"

    def _keep(self, path: Path, origin: bytes, array: NDArray[np.uint8]) -> None:
        if not self._shared and time.monotonic() > self._looked + _LOOK_SECONDS:
            self._look()  # worker processes may have filled it since; a share is each worker's own
        freed = _size(path)  # of what is stale or broken there
        more = _HEAD_BYTES + array.nbytes - freed
        if self.used_bytes + more > self.budget_bytes:
            return
        try:
            _write(path, origin, array)
        except OSError as error:
            self._writes = False
            _log.warning("decoded images are no longer kept in %s: %s", self._folder, error)
        else:
            self.used_bytes += more


def open_cache(source: Dataset, budget_bytes: int, folder: Path | None) -> Cache:
    """Return the cache of a dataset's decoded images: in ``folder``, or in memory where that is None."""
    return ArrayCache(budget_bytes) if folder is None else DiskCache(source, folder, budget_bytes)


def _load(path: Path, origin: bytes) -> NDArray[np.uint8] | None:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    if content.size < _HEAD_BYTES:
        return None
    seal, head, pixels = content[:_SEAL_BYTES], content[_SEAL_BYTES:_HEAD_BYTES], content[_HEAD_BYTES:]
    if seal.tobytes() != _seal(origin, head, pixels):
        return None
    height, width, channels = head.view("<u4").tolist()
    return pixels.reshape((height, width, channels) if channels else (height, width))


def _write(path: Path, origin: bytes, array: NDArray[np.uint8]) -> None:
    """Write an entry so that a reader sees all of it or nothing; a torn one after a crash fails its seal."""
    height, width, *channels = array.shape
    head = np.array([height, width, *(channels or [0])], dtype="<u4").view(np.uint8)
    pixels = np.ascontiguousarray(array).reshape(-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([_seal(origin, head, pixels), head.data, pixels.data])
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _seal(origin: bytes, head: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> bytes:
    """Hash over what it was made from and a checksum: a hash of every pixel takes as long as decoding."""
    return hashlib.sha256(origin + head.tobytes() + zlib.crc32(pixels.data).to_bytes(4, "little")).digest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # another process has just replaced it
                total += (Path(place) / name).stat().st_size
    return total


@cache
def _libraries() -> tuple[str, ...]:
    """Versions of what decodes and resizes: another one may round in another way."""
    return tuple(f"{name} {version(name)}" for name in ("pillow", "torch", "torchvision"))
