"""Pixels by class and step, as text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.counts import ProtocolCounts


def stats_lines(counts: ProtocolCounts) -> list[str]:
    """Return a table: a row for each label in learning order, a column for each step and both splits.

    Pixels that a step's images have, but whose label is not visible in training, are in brackets.
    """
    protocol, steps = counts.protocol, counts.steps
    first = {label: step for step, labels in enumerate(protocol.steps) for label in labels}
    rows = [
        ["", "learnt", *(f"step {number}" for number in range(len(steps))), "train", "test"],
        [
            "images",
            "",
            *(f"{step.images:,}" for step in steps),
            f"{counts.train_images:,}",
            f"{counts.test_images:,}",
        ],
    ]
    for label in (0, *protocol.order):
        name = protocol.classes[label - 1] if label else "background" if protocol.background else "unlabelled"
        learnt = str(first[label]) if label else "0" if protocol.background else ""
        shown = [_pixels(int(step.pixels[label]), bool(step.visible[label])) for step in steps]
        whole = [f"{int(pixels[label]):,}" for pixels in (counts.train_pixels, counts.test_pixels)]
        rows.append([name, learnt, *shown, *whole])
    return [
        f"{protocol.id}: pixels by class and step; in brackets: there, but not visible in training",
        *_aligned(rows),
    ]


def _pixels(number: int, visible: bool) -> str:
    return f"{number:,}" if visible or not number else f"({number:,})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
