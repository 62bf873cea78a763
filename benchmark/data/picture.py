"""A picture of training images with the labels visible at a step in each of the three settings."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from benchmark.data.dataset import IGNORE, Dataset, Split
from benchmark.data.index import pixel_counts
from benchmark.data.scenario import step_images, visible_table
from benchmark.errors import DataError, ProtocolError
from benchmark.protocol import SETTINGS, Protocol, Setting

_BACKGROUND, _IGNORED = (38, 38, 38), (255, 255, 255)
_GOLDEN = 0.618034  # steps of it spread any number of hues evenly


@dataclass(frozen=True, eq=False)
class Row:
    """One image of the picture: its place in the training split, and the settings that train on it."""

    index: int
    settings: frozenset[Setting]


def draw_sample(protocol: Protocol, dataset: Dataset, step: int, images: int, out: Path) -> None:
    """Write a picture of up to ``images`` of a step's images, as PNG, SVG or PDF by the name's ending.

    Raises ProtocolError for a step there is not, and DataError as reading the data does, for a step without
    an image and for a file that cannot be written.
    """
    if not 0 <= step < len(protocol.steps):
        raise ProtocolError(f"{protocol.id} has no step {step}; expected 0 to {len(protocol.steps) - 1}")
    train = dataset.split(*protocol.splits.train)
    rows = choose(pixel_counts(train) > 0, protocol, step, images)
    if not rows:
        raise DataError(f"step {step} of {protocol.id} has no image in {train.name} of {dataset.location}")
    figure = _figure(protocol, train, step, rows)
    try:
        figure.savefig(out, dpi=100)
    except (OSError, ValueError) as error:
        raise DataError(f"picture {out} cannot be written: {error}") from error


def choose(present: NDArray[np.bool_], protocol: Protocol, step: int, images: int) -> list[Row]:
    """Return images of a step, those first that differ most between the settings.

    Images with old, new and future classes come first, then those with future, with old, and with no
    other classes: one of each kind in turn, in the split's order within a kind.
    """
    chosen = {
        setting: set(step_images(present, protocol.steps, step, setting).tolist()) for setting in SETTINGS
    }
    old = [label for classes in protocol.steps[:step] for label in classes]
    future = [label for classes in protocol.steps[step + 1 :] for label in classes]
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for index in sorted(set.union(*chosen.values())):
        kind = bool(present[index, future].any()), bool(present[index, old].any())
        kinds.setdefault(kind, []).append(index)
    queues = [kinds[kind] for kind in sorted(kinds, reverse=True)]
    turns = [
        queue[turn]
        for turn in range(max(map(len, queues), default=0))
        for queue in queues
        if turn < len(queue)
    ]
    return [
        Row(index, frozenset(setting for setting in SETTINGS if index in chosen[setting]))
        for index in turns[:images]
    ]


def visible_labels(
    label: NDArray[np.uint8], protocol: Protocol, step: int, setting: Setting
) -> NDArray[np.uint8]:
    """Return a label map with what a setting hides at a step turned to 0; ignored pixels stay."""
    return np.where(visible_table(protocol.steps, step, setting)[label] > 0, label, 0).astype(np.uint8)


def _figure(protocol: Protocol, train: Split, step: int, rows: list[Row]) -> Figure:
    colours = _colours(len(protocol.classes))
    figure = Figure(figsize=(12.5, 2.3 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots(len(rows), 2 + len(SETTINGS), squeeze=False)
    shown: set[int] = set()
    for row, place in zip(rows, axes, strict=True):
        photograph, label = train.image(row.index), train.label(row.index)
        shown.update(np.unique(label).tolist())
        _show(place[0], photograph, train.ids[row.index])
        _show(place[1], colours[label], "all labels of the data set")
        for axis, setting in zip(place[2:], SETTINGS, strict=True):
            _show_setting(axis, colours[visible_labels(label, protocol, step, setting)], setting, row)
    _legend(figure, protocol, step, shown, colours)
    figure.suptitle(
        f"{protocol.dataset} {protocol.scenario}, step {step} of 0 to {len(protocol.steps) - 1}: "
        "what each setting shows in training",
        fontsize=12,
    )
    return figure


def _show(axis: Axes, picture: NDArray[np.uint8], title: str) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def _show_setting(axis: Axes, picture: NDArray[np.uint8], setting: Setting, row: Row) -> None:
    if setting in row.settings:
        _show(axis, picture, setting)
        return
    faded = (picture.astype(np.uint16) // 8 + 223).astype(np.uint8)
    _show(axis, faded, setting)
    axis.text(
        0.5, 0.5, "not trained on:\nshows a future class", ha="center", va="center", transform=axis.transAxes,
        fontsize=9,
    )  # fmt: skip


def _legend(
    figure: Figure, protocol: Protocol, step: int, shown: set[int], colours: NDArray[np.uint8]
) -> None:
    """Name the labels that are shown, in learning order, with when they are learnt."""
    when = {label: number for number, labels in enumerate(protocol.steps) for label in labels}
    entries = {
        0: "background or not visible" if protocol.background else "not labelled or not visible",
        IGNORE: "ignored",
    }
    entries |= {
        label: f"{protocol.classes[label - 1]} ({_age(when[label], step)})" for label in protocol.order
    }
    handles = [
        Patch(facecolor=colours[label] / 255, edgecolor="black", linewidth=0.5, label=entries[label])
        for label in (*protocol.order, 0, IGNORE)
        if label in shown or label == 0
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)


def _age(learnt: int, step: int) -> str:
    if learnt == step:
        return "new"
    return f"old, step {learnt}" if learnt < step else f"future, step {learnt}"


def _colours(classes: int) -> NDArray[np.uint8]:
    """Return a colour for each label, (256, 3): hues of neighbours far apart, in three tones."""
    table = np.zeros((256, 3), dtype=np.uint8)
    for label in range(1, classes + 1):
        tone = (0.95, 0.7, 0.5)[label % 3]
        rgb = colorsys.hsv_to_rgb(label * _GOLDEN % 1, (0.75, 0.95, 0.55)[label // 3 % 3], tone)
        table[label] = [round(255 * value) for value in rgb]
    table[0], table[IGNORE] = _BACKGROUND, _IGNORED
    return table
