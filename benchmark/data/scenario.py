"""The scenario engine: which images a step trains on, and what of their labels it may see.

| setting | images of step t | labels visible in training |
|---|---|---|
| sequential | contain a new class, and no class beyond seen | new and old classes; the rest background |
| disjoint | the same images | new classes; the rest background |
| overlapped | contain a new class | new classes; the rest background |

Label 0 is never a class here, neither new nor beyond seen, and ignored pixels belong to no class. A
look-up table has 256 entries, so that a whole batch of label maps is mapped by one indexing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import IGNORE, Dataset, Split
from benchmark.data.index import pixel_counts
from benchmark.errors import DataError, ProtocolError
from benchmark.protocol import Protocol, Setting

_log = logging.getLogger(__name__)
Table = NDArray[np.uint8]
Steps = Sequence[Sequence[int]]


class Labels(NamedTuple):
    """What a dataset's labels are, or what a protocol takes them for; ``owner`` is which of the two."""

    owner: str
    classes: tuple[str, ...]
    background: bool


@dataclass(frozen=True, eq=False)
class StepData:
    """What one step is given.

    ``images``: ascending indices into the training split. ``visible``: label -> training target (index of the
    model's output, 0 for all that is not visible, 255 for ignored). ``evaluation``: label -> row of the
    confusion matrix, classes not seen yet included, 255 for pixels that are not scored.
    """

    images: NDArray[np.int64]
    visible: Table
    evaluation: Table


@dataclass(frozen=True, eq=False)
class Plan:
    """A protocol applied to a dataset: the steps' images and look-up tables, and the two splits."""

    steps: tuple[StepData, ...]
    train: Split
    test: Split


def step_images(present: NDArray[np.bool_], steps: Steps, step: int, setting: Setting) -> NDArray[np.int64]:
    """Return the indices of the images a step trains on, ascending.

    ``present`` (N, C + 1): whether image n has a pixel of label c. ``steps`` holds the labels each step adds.
    """
    chosen = present[:, list(steps[step])].any(axis=1)
    if setting != "overlapped":
        seen = {0, *(label for classes in steps[: step + 1] for label in classes)}
        beyond = [label for label in range(present.shape[1]) if label not in seen]
        chosen &= ~present[:, beyond].any(axis=1)
    return np.flatnonzero(chosen)


def visible_table(steps: Steps, step: int, setting: Setting) -> Table:
    """Return label -> training target at a step, (256,) uint8."""
    table = np.zeros(256, dtype=np.uint8)
    table[IGNORE] = IGNORE
    hidden = 0 if setting == "sequential" else sum(len(classes) for classes in steps[:step])
    order = [label for classes in steps[: step + 1] for label in classes]
    table[order[hidden:]] = np.arange(hidden + 1, len(order) + 1)
    return table


def evaluation_table(order: Sequence[int], has_background: bool) -> Table:
    """Return label -> row of the confusion matrix, (256,) uint8.

    Row k is the k-th class in learning order, row 0 the background of a dataset that has one. What is
    in no row (ignored, or unlabelled where there is no background) is 255.
    """
    table = np.full(256, IGNORE, dtype=np.uint8)
    if has_background:
        table[0] = 0
    table[list(order)] = np.arange(1, len(order) + 1)
    return table


def plan_steps(protocol: Protocol, dataset: Dataset) -> Plan:
    """Apply a protocol to a dataset.

    Raises ProtocolError where the two do not fit, and DataError for unreadable label maps, a step
    without an image, or an image that is both trained on and scored. A new class that no image of its step
    shows is warned of: rare classes can have all their images in later steps.
    """
    _check_fit(protocol, dataset)
    train, test = dataset.split(*protocol.splits.train), dataset.split(protocol.splits.test)
    _check_apart(train, test)
    present = pixel_counts(train) > 0
    steps = tuple(_step_data(protocol, present, step) for step in range(len(protocol.steps)))
    for index, step in enumerate(steps):
        if not step.images.size:
            raise DataError(
                f"step {index} of {protocol.id} has no image in {train.name} of {dataset.location}"
            )
        _warn_of_absent(protocol, index, present[step.images])
    return Plan(steps, train, test)


def _warn_of_absent(protocol: Protocol, step: int, present: NDArray[np.bool_]) -> None:
    absent = [protocol.classes[label - 1] for label in protocol.steps[step] if not present[:, label].any()]
    if absent:
        _log.warning("step %d of %s has no image that shows %s", step, protocol.id, ", ".join(absent))


def _step_data(protocol: Protocol, present: NDArray[np.bool_], step: int) -> StepData:
    return StepData(
        images=step_images(present, protocol.steps, step, protocol.setting),
        visible=visible_table(protocol.steps, step, protocol.setting),
        evaluation=evaluation_table(protocol.order, protocol.background),
    )


def misfits(protocol: Labels, dataset: Labels) -> Iterator[str]:
    """Yield a sentence for each thing in which a protocol takes a dataset for what it is not."""
    if protocol.classes != dataset.classes:
        differing = sorted(set(protocol.classes) ^ set(dataset.classes)) or ["the same in another order"]
        yield (
            f"{protocol.owner} has {len(protocol.classes)} classes and {dataset.owner} has "
            f"{len(dataset.classes)}; expected the same list, differing: {', '.join(differing)}"
        )
    if protocol.background != dataset.background:
        yield (
            f"{protocol.owner} says background = {str(protocol.background).lower()}; expected "
            f"{str(dataset.background).lower()}, as {dataset.owner} has it"
        )


def _check_fit(protocol: Protocol, dataset: Dataset) -> None:
    said = Labels(f"protocol {protocol.id}", protocol.classes, protocol.background)
    there = Labels(f"dataset {dataset.name}", dataset.class_names, dataset.has_background)
    for misfit in misfits(said, there):
        raise ProtocolError(misfit)


def _check_apart(train: Split, test: Split) -> None:
    shared = sorted(set(train.ids) & set(test.ids))
    if shared:
        raise DataError(
            f"image {shared[0]!r} is in both {train.name} and {test.name} of {train.dataset.location}; "
            f"expected no image to be trained on and scored ({len(shared)} are)"
        )
