"""Frames for a notebook: every run once, and pandas' own means are those of the boards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import record_factory as factory
from record_factory import MSRC_16_5, SHAPES_4_2, make

from benchmark.errors import RecordError
from reports.boards import Board, boards_of
from reports.columns import COLUMNS
from reports.frames import runs_frame, scores_frame
from reports.reading import read_runs

DOCS = Path(__file__).parents[1] / "docs" / "records.md"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    factory.write_study(folder)
    return folder


@pytest.fixture(scope="module")
def boards(results: Path) -> tuple[Board, ...]:
    return boards_of(read_runs(results, {}).runs)


def test_every_run_is_there_once(results: Path) -> None:
    frame = runs_frame(results)
    paths = {path.relative_to(results).as_posix() for path in results.rglob("*.json")}
    assert len(frame) == len(paths) and set(frame.record) == paths
    assert set(frame.status) == {"ok", "diverged", "oom"}
    assert frame[frame.status != "ok"].miou_all_percent.isna().all()
    assert not frame[frame.split == "validation"].counted.any()


def test_pandas_means_and_spreads_are_those_of_the_boards(results: Path, boards: tuple[Board, ...]) -> None:
    frame = runs_frame(results)
    keys = ["protocol_digest", "model", "variant", "source_digest"]
    groups = frame[frame.counted].groupby(keys)
    rows = [(board, row) for board in boards for row in board.rows if row.ok]
    assert len(groups) == len(rows) > 20
    for board, row in rows:
        first = board.first
        group = groups.get_group((first.protocol_digest, first.model, row.variant, row.source_digest))
        assert len(group) == len(row.counted)
        mixed = group.hardware.nunique() > 1
        for column in COLUMNS:
            cell, values = row.cells[column.key], group[column.key]
            if mixed and column.hardware:
                continue
            whole = values.notna().all()
            assert (cell.mean is not None) == whole, column.key
            if whole:
                assert cell.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
                assert (cell.std or 0) == pytest.approx(
                    values.std() if len(values) > 1 else 0, rel=1e-7, abs=1e-9
                )


def test_scores_by_class_are_those_of_the_runs(tmp_path: Path) -> None:
    factory.write(make("mib"), tmp_path)
    factory.write(make("mib", MSRC_16_5), tmp_path)
    factory.write(factory.failed("sdr", SHAPES_4_2, "oom", "out of memory", 1), tmp_path)
    frame = scores_frame(tmp_path)
    assert len(frame) == 3 * 9 + 2 * 21 + 9
    for run in read_runs(tmp_path, {}).runs:
        own = frame[frame.record == run.path]
        for t, step in enumerate(run.scores.steps):
            at = own[own.step == t].set_index("index").iou_percent
            for index, value in at.items():
                learnt = step.iou[int(str(index))] if int(str(index)) < len(step.iou) else None
                assert pd.isna(value) if learnt is None else value == pytest.approx(100 * learnt)
    assert "unlabelled" not in set(frame["class"]) and "background" in set(frame["class"])


def test_a_folder_without_records_gives_empty_frames_and_none_is_an_error(tmp_path: Path) -> None:
    assert runs_frame(tmp_path).empty and scores_frame(tmp_path).empty
    with pytest.raises(RecordError, match="does not exist"):
        runs_frame(tmp_path / "absent")


def test_the_documents_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        factory.write(make("mib", seed=seed), tmp_path / "results")
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    *lines, grouped, pivoted = code.strip().splitlines()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    assert eval(grouped, names).to_dict("list")["size"] == [2]
    assert eval(pivoted, names).shape == (9, 3)
