"""Records as pandas frames, for a notebook: all that the report knows of runs, in base units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from reports.boards import boards_of
from reports.classes import row_names
from reports.columns import COLUMNS
from reports.reading import read_runs
from reports.runs import Run


def runs_frame(results: Path) -> pd.DataFrame:
    """Return a line a run, failed ones and tuning runs too: what it is of, how it ended, every measure.

    Measures have the names and base units of a board's CSV. Those relative to other runs (ratios, the forget
    score), and counts that its board refuses, are as on its board; of a run on no board they are unknown.
    Raises RecordError where ``results`` does not exist. What is no record, or an older one of the same run,
    is left out, as on the page.
    """
    runs = read_runs(results, {}).runs
    rows = [row for board in boards_of(runs) for row in board.rows]
    on_board = {measured.run.path: measured for row in rows for measured in row.runs}
    counted = {measured.run.path for row in rows for measured in row.counted}
    lines = []
    for run in runs:
        found = on_board.get(run.path)
        measures = found.measures if found else run.measures
        fixed = {**_identity(run), "counted": run.path in counted}
        lines.append(fixed | {column.key: measures.get(column.key) for column in COLUMNS})
    frame = pd.DataFrame(lines)
    return frame.astype({column.key: "float64" for column in COLUMNS}) if lines else frame


def scores_frame(results: Path) -> pd.DataFrame:
    """Return a line for each run, step and class: its IoU in percent, unknown where it is not learnt yet.

    ``index``: the class's row of the confusion matrix; 0 is background, and no class where the data set has
    none. Raises RecordError where ``results`` does not exist.
    """
    lines = []
    for run in read_runs(results, {}).runs:
        names = row_names(run.record)
        first = 0 if run.record.background else 1
        for t, step in enumerate(run.scores.steps):
            iou = [*step.iou, *[None] * (len(names) - len(step.iou))]
            for index in range(first, len(names)):
                place = {"step": t, "index": index, "class": names[index]}
                lines.append({**_identity(run), **place, "iou": iou[index]})
    frame = pd.DataFrame(lines)
    return frame.assign(iou_percent=100 * frame.pop("iou").astype("float64")) if lines else frame


def _identity(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "protocol": record.protocol,
        "protocol_digest": record.protocol_digest,
        "model": record.model,
        "split": record.split,
        "method": record.method,
        "variant": record.variant,
        "source_digest": record.source_digest,
        "seed": record.seed,
        "status": record.status,
        "hardware": run.hardware,
        "commit": record.commit,
        "record": run.path,
    }
