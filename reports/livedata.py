"""What the scripts of a board work on: the plotted columns and NetScore's inputs of each row.

They come as a .js file and not as JSON: a page opened from the file system may load a script but not fetch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from benchmark.errors import MethodError
from benchmark.finding import method_files
from benchmark.metrics import Board as NetScoreBoard
from benchmark.metrics import mean
from reports.boards import Board, Measured, Row
from reports.classes import row_names
from reports.columns import BY_KEY, Column, unit
from reports.docs import read_method
from reports.figures import ACCURACY, Styles
from reports.published import PublishedPoint
from reports.summary import INPUTS
from reports.tables import rounded
from reports.view import row_id

COSTS = (
    "parameters_trainable",
    "parameters_total",
    "parameters_deployed",
    "train_macs_per_image",
    "forward_macs",
    "inference_macs",
    "train_flops",
    "peak_train_bytes",
    "memory_ratio",
    "iteration_ratio",
    "iteration_seconds",
    "iteration_joules",
    "state_bytes",
)
SCORES = (
    ACCURACY,
    "miou_old_percent",
    "miou_new_percent",
    "miou_average_percent",
    "forget_score_points",
    "forgetting_points",
)


def script(call: str, content: Any) -> bytes:
    """Return a script that hands ``content`` to the function ``call``; ASCII, whatever names it holds."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return f"{call}({text});\n".encode()


def board_data(board: Board, styles: Styles, papers: Sequence[PublishedPoint] = ()) -> dict[str, Any]:
    """Return the rows of a board, joint training first, with what is plotted and ranked live.

    ``papers``: published values, drawn open and apart from the rows.
    """
    rows = [*([board.joint] if board.joint else []), *board.rows]
    keys = [key for key in (*COSTS, *SCORES) if BY_KEY[key] in board.columns]
    return {
        "classes": list(row_names(board.first)),
        "background": board.first.background,
        "sizes": list(board.first.step_sizes),
        "x": [key for key in COSTS if key in keys],
        "y": list(SCORES),
        "columns": {key: _column(BY_KEY[key], rows) for key in keys},
        "papers": [_paper(point, board, styles) for point in papers],
        "rows": [_row(row, board, rows, keys, styles) for row in rows],
    }


def _paper(point: PublishedPoint, board: Board, styles: Styles) -> dict[str, Any]:
    """Return a published line, in the colour of the best row of the same method where there is one."""
    same = next((row for row in board.rows if row.ok and row.method == point.method), None)
    return {
        "name": point.label,
        "colour": styles[same.variant].colour if same else None,
        "convention": point.convention,
        "values": {
            "miou_all_percent": point.all,
            "miou_old_percent": point.old,
            "miou_new_percent": point.new,
        },
    }


def _column(column: Column, rows: Sequence[Row]) -> dict[str, Any]:
    scale = unit(column, [row.mean(column.key) for row in rows])
    return {
        "name": column.full_name,
        "unit": scale.name,
        "factor": scale.factor,
        "better": column.better,
        "help": column.help,
        "unknown": column.unknown,
    }


def _row(row: Row, board: Board, rows: Sequence[Row], keys: Sequence[str], styles: Styles) -> dict[str, Any]:
    style = None if row is board.joint else styles[row.variant]
    return {
        "id": row_id(row, board),
        "name": "joint training" if row is board.joint else row.variant,
        "kind": "bound" if row is board.joint else "ranked" if row.ok else "failed",
        "colour": style.colour if style else None,
        "marker": style.marker if style else None,
        "seeds": len(row.counted),
        "on": _partner(row, rows),
        "values": [_cell(row, key) for key in keys] if row.ok else None,
        "log_a": _mean_log([measured.measures[ACCURACY] for measured in row.counted]),
        "logs": {name: _logs(row.counted, name) for name in INPUTS},
    }


def _cell(row: Row, key: str) -> tuple[float | None, float | None]:
    cell = row.cells[key]
    return rounded(cell.mean), rounded(cell.std)


def _partner(row: Row, rows: Sequence[Row]) -> int | None:
    """Return the position of the row whose method this one works on top of (``on``), if there is one."""
    on = row.runs[0].run.record.params.get("on", _default_on(row.method))
    found = (i for i, other in enumerate(rows) if other.ok and other.variant == on and other is not row)
    return next(found, None)


def defaults_of(board: Board) -> tuple[str | None, ...]:
    """Return what its methods stand on by default: all that a board shows of their sources."""
    return tuple(_default_on(method) for method in sorted({row.method for row in board.rows}))


@cache
def _default_on(method: str) -> str | None:
    """Return the default of a method's ``on`` from its source; None for one that stands alone."""
    file = method_files().get(method)
    try:
        parameters = read_method(file).parameters if file else ()
    except MethodError:  # named among what the build left out
        return None
    return next((p.default.strip("'\"") for p in parameters if p.name == "on"), None)


def _logs(runs: Sequence[Measured], name: NetScoreBoard) -> tuple[float | None, float | None]:
    """Return the means over seeds of log10 p and log10 m: a row's NetScore is linear in them."""
    pairs = [measured.inputs(name) for measured in runs]
    return _mean_log([p for p, _ in pairs]), _mean_log([m for _, m in pairs])


def _mean_log(values: Sequence[float | None]) -> float | None:
    if not values or any(value is None or not value > 0 for value in values):
        return None
    return mean(math.log10(value) for value in values if value is not None)
