"""Counts by image for made-up records: each matrix split over the images that hold its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import record_factory as factory

from benchmark.evaluate import ImageCounts, pack_images
from benchmark.record import Record, write_atomic

PIECES = 8


def split(confusion: tuple[tuple[int, ...], ...], images: int, seed: int) -> ImageCounts:
    """Each cell over a few of the images that hold its row; the first takes what rounding leaves."""
    random = np.random.default_rng(seed)
    matrix = np.asarray(confusion, dtype=np.int64)
    row, column = np.nonzero(matrix)
    total = matrix[row, column]
    pieces = min(PIECES, images)
    held = np.argsort(np.random.default_rng(5).random((len(matrix), images)), axis=1)[
        :, : max(pieces, images // 8)
    ]
    start = random.integers(0, held.shape[1], len(row))
    image = held[row[:, None], (start[:, None] + np.arange(pieces)) % held.shape[1]]
    share = random.dirichlet(np.full(pieces, 0.7), len(row))
    count = (share * total[:, None]).astype(np.int64)
    count[:, 0] += total - count.sum(axis=1)
    cells = np.stack([image, *(np.repeat(part[:, None], pieces, 1) for part in (row, column)), count])
    flat = cells.reshape(4, -1)[:, count.ravel() > 0]
    return ImageCounts(*flat[:, np.lexsort(flat[2::-1])])


def write(record: Record, folder: Path, images: int = 40, name: str | None = None) -> Path:
    """Write a record and, beside it, its counts by image."""
    safe = factory.sha(record.variant)[:8]
    stem = name or f"{record.method}-{safe}-s{record.seed}"
    counts = [split(step.confusion, images, 100 * record.seed + t) for t, step in enumerate(record.steps)]
    packed = pack_images(counts, tuple(f"image-{i:03d}" for i in range(images)))
    whole = replace(record, images_file=f"{stem}.npz", images_digest=packed.digest)
    path = factory.write(whole, folder, stem)
    write_atomic(path.with_suffix(".npz"), packed.content)
    return path
