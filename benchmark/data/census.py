"""What each step of a protocol shows of a dataset: images and pixels by class, as training sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.data.index import Counts, pixel_counts
from benchmark.data.scenario import Plan
from benchmark.protocol import Protocol


@dataclass(frozen=True)
class Share:
    """One class of a step, or a part of its background: in how many of its images, in how many pixels."""

    name: str
    channel: int
    images: int
    pixels: int


@dataclass(frozen=True)
class StepCensus:
    """The images of a step; the classes that are visible in them, in the order of the model's outputs.

    ``background`` holds all that is background in training, then what of it has a label that is not visible:
    classes of earlier steps and classes of later ones, where there are such.
    """

    images: int
    classes: tuple[Share, ...]
    background: tuple[Share, ...]


def take_census(protocol: Protocol, plan: Plan) -> tuple[StepCensus, ...]:
    """Return what each step of a plan shows. Raises DataError as counting label maps does."""
    counts = pixel_counts(plan.train)
    return tuple(_step(protocol, plan, counts, step) for step in range(len(plan.steps)))


def _step(protocol: Protocol, plan: Plan, counts: Counts, step: int) -> StepCensus:
    data = plan.steps[step]
    own = counts[data.images]
    names = dict(enumerate(protocol.classes, start=1))
    visible = {label: int(data.visible[label]) for label in range(own.shape[1])}
    shown = sorted((channel, label) for label, channel in visible.items() if channel)
    hidden = [label for label, channel in visible.items() if not channel]
    earlier = {label for classes in protocol.steps[:step] for label in classes}
    later = set(protocol.order) - earlier - set(protocol.steps[step])
    parts = {"  of it earlier classes": earlier, "  of it later classes": later}
    return StepCensus(
        images=len(own),
        classes=tuple(_share(names[label], channel, own, [label]) for channel, label in shown),
        background=(
            _share("background", 0, own, hidden),
            *(_share(name, 0, own, sorted(part & set(hidden))) for name, part in parts.items() if part),
        ),
    )


def _share(name: str, channel: int, counts: Counts, labels: Sequence[int]) -> Share:
    pixels = counts[:, list(labels)].sum(axis=1, dtype=np.int64)
    return Share(name, channel, int(np.count_nonzero(pixels)), int(pixels.sum()))
