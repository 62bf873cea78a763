"""How many pixels of each class each image has: counted once, then kept in a cache folder.

A stored index is used only if it was computed from exactly what is there now (names, sizes and times of
change of all label files, the decoder's version); anything else is counted again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import IGNORE, Split
from benchmark.errors import DataError
from benchmark.record import write_atomic

Counts = NDArray[np.uint32]
_FORMAT = 1
_SEAL_BYTES = 32
_log = logging.getLogger(__name__)


def default_cache() -> Path:
    """Return the folder for what can be computed again: ``CSSBENCH_CACHE`` or the user's own cache."""
    chosen = os.environ.get("CSSBENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cssbench"


def pixel_counts(
    split: Split, cache: Path | None = None, on_image: Callable[[], object] = lambda: None
) -> Counts:
    """Return pixels by image and label, (N, C + 1) uint32; ignored pixels are in no column.

    ``cache`` is the folder of stored indices (None: :func:`default_cache`). A folder that cannot be written
    to costs only the time to count again. ``on_image`` is told of each label map that is read. Raises
    DataError as reading label maps does, and for a label value beyond the dataset's classes.
    """
    digest = _digest(split)
    path = _path(split, default_cache() if cache is None else cache)
    counts = _load(path, digest, (len(split), len(split.dataset.class_names) + 1))
    if counts is None:
        counts = _count(split, on_image)
        _store(path, digest, counts)
    return counts


def _digest(split: Split) -> str:
    """Hash of all that the counts depend on."""
    dataset = split.dataset
    head = (_FORMAT, dataset.name, dataset.version, len(dataset.class_names))
    content = hashlib.sha256(repr(head).encode())
    for identity in split.ids:
        content.update(f"\n{identity}\0{dataset.stamp(identity)}".encode())
    return content.hexdigest()


def _path(split: Split, folder: Path) -> Path:
    """One file for each place and list of images, so that a change replaces what it makes stale."""
    key = "\n".join([split.dataset.location, *split.ids])
    return folder / "index" / f"{split.dataset.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.bin"


def _load(path: Path, digest: str, shape: tuple[int, int]) -> Counts | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, payload = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    if seal != _seal(digest, payload):
        return None
    return np.frombuffer(payload, dtype="<u4").astype(np.uint32).reshape(shape)


def _store(path: Path, digest: str, counts: Counts) -> None:
    payload = counts.astype("<u4").tobytes()
    try:
        write_atomic(path, _seal(digest, payload) + payload)
    except OSError as error:
        _log.warning("the index of label maps is not kept: %s", error)


def _seal(digest: str, payload: bytes) -> bytes:
    """Hash over what was counted and the counts: a stale file fails it just as a damaged one does."""
    return hashlib.sha256(digest.encode() + payload).digest()


def _count(split: Split, on_image: Callable[[], object]) -> Counts:
    """Count every label map, several at a time (decoding and counting release Python's lock)."""
    counts = np.zeros((len(split), len(split.dataset.class_names) + 1), dtype=np.uint32)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, row in enumerate(pool.map(lambda index: count_labels(split, index), range(len(split)))):
            counts[index] = (
                row  # kept instead, small rows between large maps would keep memory from being freed
            )
            on_image()
    return counts


def count_labels(split: Split, index: int) -> NDArray[np.int64]:
    """Return an image's pixels by label, (C + 1,). Raises DataError for a map that cannot be read or used."""
    counts = np.bincount(split.label(index).ravel(), minlength=IGNORE + 1)
    classes = len(split.dataset.class_names)
    beyond = np.flatnonzero(counts[classes + 1 : IGNORE])
    if beyond.size:
        raise DataError(
            f"label map of {split.ids[index]!r} in {split.dataset.location} has value "
            f"{classes + 1 + beyond[0]}; expected 0 to {classes} or {IGNORE}"
        )
    return counts[: classes + 1]
