"""Pictures of a fixed handful of test images: what each looks like, its labels, and what a run predicted.

Asked for with ``--pictures``. They are made off the clock, after a step was scored and measured, and are no
part of a record: with or without them a run leaves the same record. What they show belongs to whoever
made the photographs, so they go to a folder of their own choosing and never to ``results`` unasked.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.record import Record, write_atomic

MANIFEST = "pictures.jsonl"
SCHEMA = 1
HANDFUL = 6
LONGEST = 320
"""Pixels of the longer side: pictures are for looking at."""
Labels = NDArray[np.uint8]


def handful(images: int, count: int = HANDFUL) -> tuple[int, ...]:
    """Return the places of up to ``count`` images, evenly spread over a split's own order.

    The same for every run on the same test set, whatever its method or seed.
    """
    return tuple(sorted({nth * images // count for nth in range(count)})) if images else ()


@dataclass(frozen=True, eq=False)
class Shown:
    """One test image: its id, pixels (h, w, 3), labels and, for each step, predictions (H, W) by row."""

    name: str
    image: NDArray[np.uint8]
    labels: Labels
    predictions: list[Labels] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PictureBook:
    """The pictures of one run.

    ``folder``: where they go. ``names``: of a confusion matrix's rows. ``images``: places in the test set.
    """

    folder: Path
    names: tuple[str, ...]
    images: tuple[int, ...]
    shown: dict[int, Shown] = field(default_factory=dict)

    def add(self, index: int, shown: Shown) -> None:
        """Keep a test image, shrunk to what is looked at, unless it is kept already."""
        if index not in self.shown:
            small = Shown(shown.name, _small_image(shown.image), _small_labels(shown.labels))
            self.shown[index] = small

    def predict(self, index: int, prediction: Labels) -> None:
        """Keep what the model of the next step predicted for an image that was added."""
        self.shown[index].predictions.append(_small_labels(prediction))

    def write(self, record: Record) -> None:
        """Write all pictures and, last, the list that says which record they belong to."""
        lines = [_about(record, self.names)]
        for nth, index in enumerate(sorted(self.shown)):
            lines.append(self._write(nth, self.shown[index]))
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        write_atomic(self.folder / MANIFEST, text.encode())

    def _write(self, nth: int, shown: Shown) -> dict[str, object]:
        steps = {f"{nth:02}-step{step}.png": labels for step, labels in enumerate(shown.predictions)}
        pictures = {f"{nth:02}-image.png": shown.image, f"{nth:02}-labels.png": shown.labels, **steps}
        for name, pixels in pictures.items():
            write_atomic(self.folder / name, _png(pixels))
        image, labels, *predictions = pictures
        return {"id": shown.name, "image": image, "labels": labels, "predictions": predictions}


def _about(record: Record, names: Sequence[str]) -> dict[str, object]:
    """Return what ties pictures to a record: the digest of its counts by image is of these predictions."""
    return {
        "schema": SCHEMA,
        "images_digest": record.images_digest,
        "protocol": record.protocol,
        "dataset": record.dataset,
        "variant": record.variant,
        "seed": record.seed,
        "names": list(names),
    }


def _small_labels(labels: Labels) -> Labels:
    return np.asarray(_small(Image.fromarray(labels), Image.Resampling.NEAREST))


def _small_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(_small(Image.fromarray(image), Image.Resampling.BILINEAR))


def _small(picture: Image.Image, how: Image.Resampling) -> Image.Image:
    share = LONGEST / max(picture.size)
    if share >= 1:
        return picture
    width, height = (max(1, round(side * share)) for side in picture.size)
    return picture.resize((width, height), how)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
