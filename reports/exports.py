"""The CSV and JSON beside every table: base units, unknown is empty or null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.metrics import BOARDS
from benchmark.metrics import Board as NetScoreBoard
from reports.boards import Board, Measured, Row
from reports.classes import row_names
from reports.columns import COLUMNS
from reports.figures import mean_iou
from reports.ranges import RANKED
from reports.runs import Run


def board_rows(board: Board) -> list[dict[str, Any]]:
    """Return a board's rows, joint training first: mean, spread and number of seeds of every column."""
    bound = [board.joint] if board.joint else []
    return [board_row(board, row) for row in [*bound, *board.rows]]


def board_row(board: Board, row: Row) -> dict[str, Any]:
    """Return one row of a board, joint training's or another."""
    fixed = {
        "protocol": board.first.protocol,
        "protocol_digest": board.first.protocol_digest,
        "model": board.first.model,
        "role": "joint" if row is board.joint else "method",
        "variant": row.variant,
        "method": row.method,
        "source_digest": row.source_digest,
        "seeds": len(row.counted),
        "status": ", ".join(f"{count} {status}" for status, count in row.statuses.items()),
        "hardware": "; ".join(sorted({measured.run.hardware for measured in row.counted})),
    }
    ranks = {f"rank_{board_name}": row.ranks.get(board_name) for board_name in BOARDS}
    ranges: dict[str, Any] = {}
    for key in RANKED:
        found = row.ranges.get(key)
        ranges |= {
            f"rank_range_{key}_low": found and found.low,
            f"rank_range_{key}_high": found and found.high,
        }
    ranges["rank_range_unknown"] = row.unranged or None
    values: dict[str, float | None] = {}
    for column in COLUMNS:
        cell = row.cells.get(column.key)
        values[column.key] = cell.mean if cell else None
        values[f"{column.key}_std"] = cell.std if cell else None
    return {**fixed, **ranks, **ranges, **values}


def run_rows(board: Board) -> list[dict[str, Any]]:
    """Return every run behind a board."""
    rows = [*([board.joint] if board.joint else []), *board.rows]
    return [_run(measured) for row in rows for measured in row.runs]


def _run(measured: Measured) -> dict[str, Any]:
    record = measured.run.record
    fixed = {
        "protocol": record.protocol,
        "model": record.model,
        "variant": record.variant,
        "source_digest": record.source_digest,
        "seed": record.seed,
        "status": record.status,
        "hardware": measured.run.hardware,
        "commit": record.commit,
        "record": measured.run.path,
    }
    return fixed | {column.key: measured.measures.get(column.key) for column in COLUMNS}


def netscore_rows(board: Board, inputs: Mapping[NetScoreBoard, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return accuracy, p, m, score and rank of each finished row on each board."""
    result = []
    for row in (row for row in board.rows if row.ok):
        line: dict[str, Any] = {"variant": row.variant, "miou_all_percent": row.mean("miou_all_percent")}
        for name, (params, macs) in inputs.items():
            line |= {f"{name}_parameters": row.mean(params), f"{name}_macs": row.mean(macs)}
            line |= {f"{name}_netscore": row.mean(f"netscore_{name}"), f"{name}_rank": row.ranks.get(name)}
        result.append(line)
    return result


def class_rows(board: Board) -> list[dict[str, Any]]:
    """Return IoU in percent by class after the last step, a line a row of the board."""
    names = row_names(board.first)
    start = 0 if board.first.background else 1
    lines = []
    for row in (row for row in board.rows if row.ok):
        values = [steps[-1] for steps in mean_iou(row, len(names), last=True)]
        lines.append({"variant": row.variant, **_unique(names[start:], values[start:])})
    return lines


def _unique(names: Iterable[str], values: Iterable[float | None]) -> dict[str, float | None]:
    """Pair names and values; a name met before gets its position, so that no column is lost."""
    result: dict[str, float | None] = {}
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        result[f"{name} ({index})" if name in result or name == "variant" else name] = value
    return result


def step_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return mIoU and IoU in percent of runs with the same classes after each step."""
    lines = []
    for run in runs:
        names = row_names(run.record)
        fixed = {"seed": run.record.seed, "status": run.record.status, "hardware": run.hardware}
        for t, step in enumerate(run.scores.steps):
            padded = [*step.iou, *[None] * (len(names) - len(step.iou))]
            line: dict[str, Any] = {**fixed, "step": t}
            line |= {f"miou_{k}_percent": _percent(getattr(step, k)) for k in ("all", "old", "new")}
            lines.append(line | {f"iou {n}": v for n, v in _unique(names, map(_percent, padded)).items()})
    return lines


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
