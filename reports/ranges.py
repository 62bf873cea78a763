"""Rank ranges of a board: its rows' scores under resampled test images and seeds, compared draw by draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.errors import RecordError
from benchmark.metrics import BOARDS, netscore
from reports.boards import Board, Measured, Row
from reports.bootstrap import (
    DRAWS,
    LEVEL,
    Draws,
    RankRange,
    over_seeds,
    rank_ranges,
    resampled_accuracy,
    resampled_scores,
)
from reports.columns import BY_KEY
from reports.parallel import chunks
from reports.perimage import CountsError, Floats, read_overlap, read_overlaps
from reports.runs import Run

ACCURACY = "miou_all_percent"
RANKED = (ACCURACY, *(f"netscore_{board}" for board in BOARDS))
"""Columns that have a rank range."""
TOGETHER = 10
"""Runs of a row that are held and scored at once."""


class Range(NamedTuple):
    """A rank range as printed. ``value``: what sorting goes by; ``note``: what of, or why there is none."""

    text: str
    value: str
    note: str


class RowDraws(NamedTuple):
    """A row's means over seeds in each draw (draws,): final mIoU (all), and its part in NetScore.

    ``decibel`` leaves out parameters and MACs, which no draw changes.
    """

    test_set: str
    percent: Floats
    decibel: Floats


class RunDraws(NamedTuple):
    """A run's scores after its last step in each draw, and the test set they are of."""

    test_set: str
    scores: Draws


def run_draws(run: Run, results: Path) -> RunDraws:
    """Score a finished run on each draw of its test images.

    Raises RecordError where its counts by image are missing or do not fit it.
    """
    record = run.record
    overlap = read_overlap(record, results / run.path)
    scores = resampled_scores(overlap, 1 + record.step_sizes[0], record.background)
    return RunDraws(overlap.test_set, scores)


def row_draws(row: Row, results: Path) -> RowDraws:
    """Return the means of a row's counted runs. Raises RecordError where one has no counts that fit."""
    runs = [run for some in chunks(row.counted, TOGETHER) for run in _accuracy(some, results, row.single)]
    if len({test_set for test_set, _ in runs}) > 1:
        raise RecordError("its seeds were scored on different test images")
    test_set = runs[0][0]
    percent = [100 * accuracy for _, accuracy in runs]
    with np.errstate(divide="ignore"):  # a mIoU of 0 has no NetScore: -inf is behind all others
        decibel = [40 * np.log10(values) for values in percent]
    return RowDraws(test_set, over_seeds(percent, test_set), over_seeds(decibel, test_set))


def _accuracy(some: Sequence[Measured], results: Path, single: bool) -> list[tuple[str, Floats]]:
    """Return each run's test set and its mIoU of all classes in each draw.

    An error names the seed but for a row of a ``single`` one.
    """
    records = [measured.run.record for measured in some]
    files = zip(records, (results / measured.run.path for measured in some), strict=True)
    try:
        found = zip(read_overlaps(list(files)), records, strict=True)
    except CountsError as error:
        raise RecordError(str(error) if single else f"seed {error.record.seed}: {error}") from error
    overlaps = [overlap.scored(record.background) for overlap, record in found]
    test_sets = (overlap.test_set for overlap in overlaps)
    return list(zip(test_sets, resampled_accuracy(overlaps), strict=True))


def with_ranges(board: Board, draws: Mapping[int, RowDraws | str]) -> Board:
    """Return ``board`` with the rank range of each row.

    ``draws``: by the row's position, or the reason why there are none. A row without draws has no range,
    and is held at its score where others are compared with it.
    """
    usable = _of_one_test_set(draws)
    reasons = {i: text for i, text in usable.items() if isinstance(text, str)}
    columns = {key: _ranges(board.rows, usable, key) for key in RANKED}
    rows = [
        replace(
            row,
            ranges={key: found[i] for key, found in columns.items() if i in found},
            unranged=reasons.get(i, "" if row.ok else "no run finished"),
        )
        for i, row in enumerate(board.rows)
    ]
    return replace(board, rows=tuple(rows))


def draws_of(board: Board, results: Path) -> dict[int, RowDraws | str]:
    """Return the draws of each row with a finished run by its position, or the reason why it has none."""
    found: dict[int, RowDraws | str] = {}
    for i, row in enumerate(board.rows):
        if row.ok:
            try:
                found[i] = row_draws(row, results)
            except RecordError as error:
                found[i] = str(error)
    return found


def _of_one_test_set(draws: Mapping[int, RowDraws | str]) -> dict[int, RowDraws | str]:
    """Put a reason in place of draws on other images than most rows have."""
    counts = Counter(each.test_set for each in draws.values() if isinstance(each, RowDraws))
    common = max(sorted(counts), key=lambda name: counts[name], default="")
    return {
        i: "it was scored on other test images than most rows"
        if isinstance(each, RowDraws) and each.test_set != common
        else each
        for i, each in draws.items()
    }


def _ranges(rows: Sequence[Row], draws: Mapping[int, RowDraws | str], key: str) -> dict[int, RankRange]:
    scored = {i: mean for i, row in enumerate(rows) if (mean := row.mean(key)) is not None}
    sampled = {i: _values(rows[i], each, key) for i in scored if isinstance(each := draws.get(i), RowDraws)}
    if not sampled:
        return {}
    length = len(next(iter(sampled.values())))
    held = {i: np.full(length, mean) for i, mean in scored.items()}
    found = zip(scored, rank_ranges(list((held | sampled).values())), strict=True)
    return {i: places for i, places in found if i in sampled}


def _values(row: Row, draws: RowDraws, key: str) -> Floats:
    if key == ACCURACY:
        return draws.percent
    accuracy = [netscore(measured.run.measures[ACCURACY], 1, 1) for measured in row.counted]
    costs = (row.mean(key) or 0.0) - sum(value or 0.0 for value in accuracy) / len(accuracy)
    return draws.decibel + costs


def printed_range(row: Row, key: str) -> Range:
    """Return a row's rank range by a column as it is printed; an en dash where there is none."""
    found = row.ranges.get(key)
    if found is None:
        return Range("–", "", row.unranged or BY_KEY[key].unknown)
    over = "test images; its one seed tells nothing of seeds" if row.single else "test images and seeds"
    note = f"rank in {LEVEL:.0%} of {DRAWS} resamplings of the {over}"
    text = str(found.low) if found.low == found.high else f"{found.low}–{found.high}"
    return Range(text, f"{found.low}.{found.high:06d}", note)
