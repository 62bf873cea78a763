"""Rules on the evidence: confusion matrices, the file by image beside them, and the test set they are of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmark.errors import RecordError
from benchmark.record import sha256_of
from benchmark.validate.context import Context
from benchmark.validate.findings import Fault, note
from benchmark.validate.reading import Subject


def image_file(subject: Subject, context: Context) -> Iterator[Fault]:
    """The file by image lies beside the record, under its name and with its digest, and can be read."""
    record = subject.record
    if record.images_file is None and not record.steps:
        return
    if record.images_file != subject.path.with_suffix(".npz").name:
        expected = subject.path.with_suffix(".npz").name
        yield Fault(f"images_file is {record.images_file!r}; expected {expected!r}")
        return
    try:
        subject.images()
    except RecordError as error:
        yield Fault(f"{record.images_file}: {error}")
        return
    digest = sha256_of(subject.path.with_suffix(".npz").read_bytes())
    if digest != record.images_digest:
        yield Fault(f"images_digest is {record.images_digest}; {record.images_file} has {digest}")


def image_sums(subject: Subject, context: Context) -> Iterator[Fault]:
    """The matrices by image sum to the record's."""
    try:
        images = subject.images()
        for step, cells in zip(subject.record.steps, images.steps, strict=True):
            matrix = np.array(step.confusion, dtype=np.int64)
            if (cells.matrix(*matrix.shape) != matrix).any():
                yield Fault(
                    f"step {step.index}: the images sum to another confusion matrix than the record's"
                )
    except RecordError as error:
        if subject.images_path is not None and subject.images_path.is_file():
            yield Fault(f"the images cannot be summed: {error}")


def pixels(subject: Subject, context: Context) -> Iterator[Fault]:
    """Each row of every matrix sums to the pixels of that class in the test set."""
    rows = [[sum(row) for row in step.confusion] for step in subject.record.steps]
    changed = next((i for i, sums in enumerate(rows) if sums != rows[0]), None)
    if changed is not None:
        yield Fault(f"steps 0 and {changed} were scored on different pixels; expected the same test set")
    truth = context.truth(subject)
    if truth is None:
        yield note(
            "the test set's pixels are not compared: neither its data nor another record of the board is here"
        )
        return
    expected = truth.pixels.sum(axis=0).tolist()
    for index, sums in enumerate(rows):
        if sums != expected:
            row = next(r for r in range(len(sums)) if sums[r] != expected[r])
            yield Fault(f"step {index}: row {row} has {sums[row]} pixels; {truth.source} has {expected[row]}")
            return


def test_images(subject: Subject, context: Context) -> Iterator[Fault]:
    """The file by image is of the test set's images, each with its own pixels."""
    truth = context.truth(subject)
    try:
        images = subject.images()
        if truth is None:
            return
        if images.names != truth.names:
            odd = sorted(set(images.names) ^ set(truth.names)) or ["the order"]
            yield Fault(f"its test images are not those of {truth.source}; differing: {', '.join(odd[:3])}")
            return
        for index, cells in enumerate(images.steps):
            found = cells.by_label(*truth.pixels.shape)
            if (found != truth.pixels).any():
                first = images.names[int(np.argmax((found != truth.pixels).any(axis=1)))]
                yield Fault(f"step {index}: image {first!r} has other pixels than in {truth.source}")
                return
    except (RecordError, IndexError):
        return  # said by the rules on the file itself


def trained_images(subject: Subject, context: Context) -> Iterator[Fault]:
    """Each step trains on the images its setting gives it, for the protocol's epochs."""
    record, truth = subject.record, context.truth(subject)
    for step in record.steps:
        if truth is not None and step.images != truth.trained[step.index]:
            given = truth.trained[step.index]
            yield Fault(f"step {step.index} trains on {step.images} images; {truth.source} has {given}")
        expected = -(-step.images // record.batch_size) * record.epochs
        if step.iterations != expected:
            yield Fault(
                f"step {step.index} has {step.iterations} iterations; {step.images} images in batches of "
                f"{record.batch_size} for {record.epochs} epochs are {expected}"
            )
