"""What a board refuses to compare: times across hardware, disputed counts, lower bounds; and what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import record_factory as factory
from record_factory import A100, CPU, H100, SHAPES_4_2, VOC_15_1, make

import reports.draw
from benchmark.measure.others import note_of_others
from benchmark.record import Environment, Record
from reports import build
from reports.boards import Board, boards_of
from reports.columns import BY_KEY
from reports.comparable import doubts, refused_counts
from reports.costfigures import cost_over_steps
from reports.costlist import costs
from reports.exports import board_rows
from reports.figures import figures_of, styles, trade_off
from reports.livedata import board_data
from reports.load import Found
from reports.runs import inputs, scored
from reports.summary import worked

OLD = replace(CPU, packages={"torch": "2.10.0+cpu", "fvcore": "0.1.5"})
NEW = replace(CPU, packages={"torch": "2.11.1", "fvcore": "0.1.6"})
TRAIN = {"train_flops", "train_macs_per_image", "netscore_train"}
INFER = {"inference_macs", "forward_macs", "netscore_deploy", "netscore_clora"}


def _board(*records: Record) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])
    return board


def _counted(record: Record, factor: float) -> Record:
    """The record with FLOPs of training and MACs times a factor, as another counter would have them."""
    steps = []
    for step in record.steps:
        c = step.compute
        assert c.train_flops and c.inference_macs
        compute = replace(
            c, train_flops=int(c.train_flops * factor), inference_macs=int(c.inference_macs * factor)
        )
        steps.append(replace(step, compute=compute))
    return replace(record, steps=tuple(steps))


def _uncounted(record: Record, **tables: dict[str, int]) -> Record:
    last = record.steps[-1]
    return replace(record, steps=(*record.steps[:-1], replace(last, compute=replace(last.compute, **tables))))


def test_one_machine_and_one_version_leave_nothing_to_doubt() -> None:
    assert _board(make("mib"), make("fine_tune"), make("mib", seed=1)).doubts == ()


def test_across_hardware_times_are_refused_and_ratios_stand() -> None:
    board = _board(
        make("fine_tune", VOC_15_1, environment=H100), make("mib", VOC_15_1, environment=H100),
        make("sdr", VOC_15_1, environment=A100),
    )  # fmt: skip
    (doubt,) = board.doubts
    assert "NVIDIA A100-SXM4-40GB and NVIDIA H100 80GB HBM3" in doubt.text
    assert "No fine_tune ran on NVIDIA A100-SXM4-40GB, so that ratios are unknown there" in doubt.text
    assert {"iteration_seconds", "peak_train_bytes", "iteration_joules"} <= set(doubt.refused)
    assert refused_counts(board.doubts) == frozenset()  # counts are the same on any machine
    rows = {row.method: row for row in board.rows}
    assert rows["mib"].mean("iteration_ratio") is not None
    assert rows["sdr"].mean("iteration_ratio") is None
    assert rows["sdr"].ranks["train"] is not None
    assert not {column.key for column in board.columns} & set(doubt.refused)


def test_a_row_on_two_machines_has_no_mean_of_its_times() -> None:
    board = _board(
        make("fine_tune", VOC_15_1, 0, H100), make("fine_tune", VOC_15_1, 0, A100),
        make("mib", VOC_15_1, 0, H100), make("mib", VOC_15_1, 1, A100), make("sdr", VOC_15_1, 0, H100),
    )  # fmt: skip
    rows = {row.method: row for row in board.rows}
    assert rows["mib"].mean("iteration_seconds") is None and rows["mib"].mean("peak_bytes") is None
    assert rows["mib"].mean("train_flops") is not None
    each = [measured.measures["iteration_ratio"] for measured in rows["mib"].counted]
    assert None not in each
    assert rows["mib"].mean("iteration_ratio") == pytest.approx(sum(v or 0 for v in each) / 2)
    assert rows["sdr"].mean("iteration_seconds") is not None
    lines = {line["variant"]: line for line in board_rows(board)}
    assert lines["mib"]["iteration_seconds"] is None and lines["sdr"]["iteration_seconds"]


@pytest.mark.parametrize("environment", [OLD, replace(NEW, packages={})])
def test_versions_that_no_row_shares_are_named_and_left_standing(environment: Environment) -> None:
    board = _board(make("mib", environment=environment), make("sdr", environment=NEW))
    software, flops, macs = board.doubts
    assert "a difference between rows of two versions may be the software's" in software.text
    assert "no row was counted by both" in flops.text and "no row was counted by both" in macs.text
    assert not any(doubt.refused for doubt in board.doubts)
    assert all(row.ranks["train"] for row in board.rows)


def test_versions_that_agree_on_a_row_are_compared() -> None:
    board = _board(
        make("mib", environment=OLD), make("mib", seed=1, environment=NEW), make("sdr", environment=NEW)
    )
    assert [doubt.text.split(",")[0] for doubt in board.doubts] == ["On AMD EPYC 7543"]


def test_versions_that_disagree_on_a_row_are_refused_everywhere() -> None:
    twice = _counted(make("mib", seed=1, environment=NEW), 1.5)
    board = _board(make("mib", environment=OLD), twice, make("sdr", environment=NEW))
    refused = refused_counts(board.doubts)
    assert refused == TRAIN | INFER
    texts = " ".join(doubt.text for doubt in board.doubts)
    assert (
        "were counted by torch 2.10 and 2.11, which disagree (Training FLOPs of an iteration of mib: "
        in texts
    )
    for row in board.rows:
        assert all(row.mean(key) is None for key in refused)
        assert set(row.ranks.values()) == {None}
        assert row.mean("miou_all_percent") is not None
    assert trade_off(board, styles([board])) is None
    assert worked(board) is None
    names = {figure.name for figure in figures_of(board, styles([board]))}
    assert "train-flops" not in names and "parameters-trainable" in names
    live = json.dumps(board_data(board, styles([board])))
    assert "NaN" not in live


def test_a_lower_bound_is_no_count() -> None:
    partly = _uncounted(make("mib"), train_uncounted={"mine::matmul": 2, "aten::add": 9})
    board = _board(partly, make("sdr"))
    rows = {row.method: row for row in board.rows}
    assert all(rows["mib"].mean(key) is None for key in TRAIN)
    assert rows["mib"].mean("inference_macs") is not None
    assert (rows["mib"].ranks["train"], rows["sdr"].ranks["train"]) == (None, 1)
    assert {rows["mib"].ranks["deploy"], rows["sdr"].ranks["deploy"]} == {1, 2}
    (doubt,) = board.doubts
    assert "took mine::matmul of mib for zero" in doubt.text and "aten::add" not in doubt.text
    assert inputs(partly, "train").macs_billions is None
    blind = _uncounted(make("mib"), uncounted={"aten::_scaled_dot_product_x_attention": 12})
    measures = scored(Found("x.json", blind)).measures
    assert all(measures[key] is None for key in INFER)
    assert measures["train_flops"] is not None


def _beside_others(record: Record, step: int) -> Record:
    note = note_of_others(7, {7, 8, 9})
    assert note == "the GPU was shared with 2 other processes"
    steps = [
        replace(s, energy_notes=("something else", note)) if s.index == step else s for s in record.steps
    ]
    return replace(record, steps=tuple(steps))


def test_times_on_a_gpu_that_others_used_are_no_methods() -> None:
    clean = make("mib", VOC_15_1, environment=H100)
    disturbed = _beside_others(make("sdr", VOC_15_1, environment=H100), 2)
    board = _board(make("fine_tune", VOC_15_1, environment=H100), clean, disturbed)
    rows = {row.method: row for row in board.rows}
    for key in ("iteration_seconds", "iteration_ratio", "iteration_joules", "seconds_total"):
        assert rows["sdr"].mean(key) is None and rows["mib"].mean(key) is not None
        assert "others used" in BY_KEY[key].unknown
    assert rows["sdr"].mean("peak_train_bytes") is not None and rows["sdr"].ranks["train"]
    (doubt,) = board.doubts
    assert "while sdr ran" in doubt.text and doubt.refused == ()
    (over_time,) = [p for p in cost_over_steps(board, styles([board])).panels if "Learning" in p.title]
    assert {c.label: set(c.values) == {None} for c in over_time.courses} == {
        "sdr": True, "mib": False, "fine_tune": False
    }  # fmt: skip
    found = {cost.name: cost.note for cost in costs([_beside_others(clean, 5)])}
    for name in ("Time of an iteration", "Energy of an iteration"):
        assert found[name].endswith("the GPU was shared with 2 other processes")


def test_a_step_0_trained_beside_others_spoils_the_sum_alone() -> None:
    measures = scored(Found("x.json", _beside_others(make("mib", VOC_15_1, environment=H100), 0))).measures
    assert measures["seconds_total"] is None and measures["iteration_seconds"] is not None


def test_element_wise_operators_are_zero_by_definition() -> None:
    table = {"aten::add": 9, "aten::upsample_bilinear2d": 2, "aten::native_layer_norm": 3}
    board = _board(_uncounted(make("mib"), uncounted=table), _uncounted(make("sdr"), uncounted={}))
    assert board.doubts == ()


def test_failed_runs_raise_no_doubt() -> None:
    failed = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1, environment=A100)
    runs = [scored(Found("0.json", failed)), scored(Found("1.json", make("sdr")))]
    assert doubts(runs, "fine_tune") == ()
    assert doubts([], "fine_tune") == ()


def test_the_page_says_what_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)
    evil = "x::<script>alert(1)</script>"
    factory.write(_uncounted(make("mib"), train_uncounted={evil: 1}), tmp_path / "results")
    factory.write(make("sdr", environment=H100), tmp_path / "results")
    (board,) = build(tmp_path / "results", tmp_path / "site").boards
    page = (tmp_path / "site" / "boards" / board.slug / "index.html").read_text()
    assert "Times, memory and energy are not ranked, as runs ran on" in page
    assert "lower bounds, neither shown nor ranked" in page
    assert "<script>alert" not in page
    table = {
        row["variant"]: row
        for row in json.loads((tmp_path / "site" / "boards" / board.slug / "table.json").read_text())
    }
    assert table["mib"]["train_flops"] is None and table["mib"]["rank_train"] is None
    assert table["sdr"]["rank_train"] == 1
