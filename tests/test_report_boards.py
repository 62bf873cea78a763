"""Boards: what is aggregated, ranked and compared with what, by hand-computed values."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import record_factory as factory
from record_factory import A100, H100, MSRC_16_5, SHAPES_4_2, VOC_13_1, make

from benchmark.metrics import BOARDS, netscore, score
from benchmark.record import Record
from reports.boards import Board, boards_of, places
from reports.load import Found
from reports.runs import Run, scored, slug
from reports.tables import aggregate


def _runs(*records: Record) -> list[Run]:
    return [scored(Found(f"{index}.json", record)) for index, record in enumerate(records)]


def _board(*records: Record) -> Board:
    (board,) = boards_of(_runs(*records))
    return board


def _final(record: Record) -> float:
    final = score(
        [s.confusion for s in record.steps], [s.classes for s in record.steps], record.background
    ).final
    assert final.all is not None
    return 100 * final.all


def test_seeds_aggregate_inside_a_row() -> None:
    records = [make("mib", seed=seed) for seed in range(3)]
    board = _board(*records, make("sdr"))
    row = next(row for row in board.rows if row.method == "mib")
    values = [_final(record) for record in records]
    cell = row.cells["miou_all_percent"]
    assert cell.mean == pytest.approx(statistics.mean(values))
    assert cell.std == pytest.approx(statistics.stdev(values))
    assert cell.n == 3
    single = next(row for row in board.rows if row.method == "sdr").cells["miou_all_percent"]
    assert (single.mean, single.std, single.n) == (pytest.approx(_final(make("sdr"))), None, 1)


def test_a_value_unknown_for_one_seed_is_unknown_for_the_row() -> None:
    cells = aggregate({"a": [{"x": 1.0, "y": 1.0}, {"x": 3.0, "y": None}], "b": [{"x": None}], "c": []})
    assert cells["a"]["x"] == (2.0, pytest.approx(2**0.5), 2)
    assert cells["a"]["y"] == (None, None, 1)
    assert cells["b"]["x"] == (None, None, 0)
    assert cells["c"] == {}


def test_equal_values_have_themselves_as_mean_and_no_spread() -> None:
    third = aggregate({"a": [{"x": 0.1}] * 3, "b": [{"x": 0.1}], "c": [{"x": -1.0}, {"x": 0.0}]})
    assert third["a"]["x"] == (0.1, 0.0, 3)
    assert third["b"]["x"] == (0.1, None, 1)
    assert third["c"]["x"] == (-0.5, pytest.approx(0.5**0.5), 2)


def test_hyper_parameters_and_sources_make_rows_of_their_own() -> None:
    board = _board(make(), make(params={"distillation": 100.0}), make(source_digest=factory.sha("edited")))
    assert len(board.rows) == 3
    assert all(len(row.runs) == 1 for row in board.rows)


def test_digests_and_models_are_never_mixed() -> None:
    runs = _runs(
        make(), make(place=replace(SHAPES_4_2, version=2)), make(place=replace(SHAPES_4_2, model="vit"))
    )
    boards = boards_of(runs)
    assert [len(board.rows) for board in boards] == [1, 1, 1]
    assert len({board.slug for board in boards}) == 3


def test_validation_scores_are_on_no_board() -> None:
    board = _board(make(), make("sdr", split="validation"))
    assert [row.method for row in board.rows] == ["mib"]


def test_joint_training_is_a_bound_and_no_board() -> None:
    joints = [make("fine_tune", SHAPES_4_2.joint_place(), seed) for seed in range(2)]
    board = _board(make(), make("fine_tune"), *joints)
    assert board.joint is not None
    upper = statistics.mean(map(_final, joints))
    assert board.joint.mean("miou_all_percent") == pytest.approx(upper)
    assert board.joint.mean("forget_score_points") is None
    assert board.joint.mean("forgetting_points") is None
    row = next(row for row in board.rows if row.method == "mib")
    assert row.mean("forget_score_points") == pytest.approx(_final(make()) - upper)
    assert [row.method for row in board.rows] == ["mib", "fine_tune"]


def test_joint_training_is_old_and_new_as_the_board_is_whatever_its_own_order() -> None:
    classes = SHAPES_4_2.classes
    shuffled = make("fine_tune", SHAPES_4_2.joint_place(), classes=classes[::-1])
    board = _board(make(), shuffled)
    assert board.joint is not None
    background, *iou = scored(Found("x", shuffled)).scores.final.iou
    by_name = dict(zip(classes[::-1], iou, strict=True))
    old = [background, *(by_name[name] for name in classes[:4])]
    new = [by_name[name] for name in classes[4:]]
    assert board.joint.mean("miou_old_percent") == pytest.approx(100 * statistics.mean(v or 0 for v in old))
    assert board.joint.mean("miou_new_percent") == pytest.approx(100 * statistics.mean(v or 0 for v in new))
    other = make("fine_tune", SHAPES_4_2.joint_place(), classes=("another", *classes[1:]))
    unlike = _board(make(), other).joint
    assert unlike is not None and unlike.mean("miou_old_percent") is unlike.mean("miou_new_percent") is None
    assert unlike.mean("miou_all_percent") is not None


def test_only_a_joint_run_with_the_protocols_digest_counts() -> None:
    other = make("fine_tune", SHAPES_4_2.joint_place(), protocol_digest=factory.sha("another joint"))
    failed = factory.failed("fine_tune", SHAPES_4_2.joint_place(), "oom", "out of memory", 0)
    boards = boards_of(_runs(make(), other, failed))
    assert [board.joint for board in boards] == [None]
    assert boards[0].rows[0].mean("forget_score_points") is None


def test_netscores_are_of_the_last_step_and_rank_the_rows() -> None:
    board = _board(*(make(method) for method in factory.TRAITS))
    for row in board.rows:
        record = row.counted[0].run.record
        last, a = record.steps[-1], _final(record)
        train = (last.compute.train_flops or 0) / 2 / record.batch_size / 1e9
        p = last.parameters.trainable / 1e6
        assert row.mean("netscore_train") == pytest.approx(netscore(a, p, train))
        assert row.mean("netscore_clora") == pytest.approx(
            netscore(a, p, (last.compute.forward_macs or 0) / 1e9)
        )
        deployed = last.parameters.deployed / 1e6
        assert row.mean("netscore_deploy") == pytest.approx(
            netscore(a, deployed, (last.compute.inference_macs or 0) / 1e9)
        )
    assert [row.ranks["train"] for row in board.rows] == list(range(1, len(board.rows) + 1))
    for name in BOARDS:
        ordered = sorted(board.rows, key=lambda row: -(row.mean(f"netscore_{name}") or 0))
        assert [row.ranks[name] for row in ordered] == list(range(1, len(board.rows) + 1))


def test_equal_scores_share_a_place_and_unknown_has_none() -> None:
    assert places([3.0, None, 5.0, 3.0, 1.0]) == [2, None, 1, 2, 4]


def test_failed_runs_are_shown_last_and_enter_no_mean() -> None:
    bad = factory.failed("ewc", SHAPES_4_2, "diverged", "not finite", 1)
    partly = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 2, seed=1)
    board = _board(bad, partly, make("mib"), make("fine_tune"))
    assert [row.method for row in board.rows] == ["mib", "fine_tune", "ewc"]
    mib, _, ewc = board.rows
    assert mib.statuses == {"ok": 1, "oom": 1}
    assert mib.cells["miou_all_percent"].n == 1
    assert mib.mean("miou_all_percent") == pytest.approx(_final(make("mib")))
    assert ewc.cells == {}
    assert ewc.ranks == dict.fromkeys(BOARDS)
    assert not ewc.ok


def test_times_are_a_ratio_to_fine_tune_on_the_same_hardware() -> None:
    runs = [
        make("fine_tune", VOC_13_1, 0, H100), make("fine_tune", VOC_13_1, 1, H100),
        make("fine_tune", VOC_13_1, 0, A100), make("sdr", VOC_13_1, 0, A100), make("mib", VOC_13_1, 0, H100),
    ]  # fmt: skip

    def seconds(record: Record) -> float:
        later = record.steps[1:]
        return sum(s.seconds.train for s in later) / sum(s.seconds.timed_iterations for s in later)

    board = _board(*runs)
    rows = {row.method: row for row in board.rows}
    assert rows["sdr"].mean("iteration_ratio") == pytest.approx(seconds(runs[3]) / seconds(runs[2]))
    h100 = statistics.mean([seconds(runs[0]), seconds(runs[1])])
    assert rows["mib"].mean("iteration_ratio") == pytest.approx(seconds(runs[4]) / h100)
    peak = max(s.peak_bytes["train"].cuda_allocated or 0 for s in runs[4].steps[1:])
    base = max(s.peak_bytes["train"].cuda_allocated or 0 for s in runs[0].steps[1:])
    assert rows["mib"].mean("memory_ratio") == pytest.approx(peak / base)
    assert len(board.hardware) == 2
    assert not [column.key for column in board.columns if column.hardware]
    assert "iteration_ratio" in {column.key for column in board.columns}


def test_without_fine_tune_on_its_hardware_a_ratio_is_unknown() -> None:
    board = _board(make("fine_tune", VOC_13_1, 0, H100), make("mib", VOC_13_1, 0, A100))
    rows = {row.method: row for row in board.rows}
    assert rows["mib"].mean("iteration_ratio") is None
    assert rows["mib"].mean("memory_ratio") is None
    assert rows["fine_tune"].mean("iteration_ratio") == 1


def test_one_seed_on_two_machines_counts_once_and_the_newest() -> None:
    first = make("mib", MSRC_16_5, 0, finished="2026-11-01T00:00:00Z")
    slow = replace(factory.CPU, threads=1)
    again = make("mib", MSRC_16_5, 0, slow, finished="2026-11-02T00:00:00Z")
    (row,) = _board(first, again).rows
    assert len(row.runs) == 2
    assert [measured.run.hardware for measured in row.counted] == ["AMD EPYC 7543, 1 thread"]
    assert row.cells["miou_all_percent"].n == 1


def test_costs_are_those_of_the_incremental_steps() -> None:
    record = make("clora")
    (run,) = _runs(record)
    assert run.measures["trainable_percent"] == pytest.approx(3.0)
    later = record.steps[1:]
    assert run.measures["peak_train_bytes"] == max(s.peak_bytes["train"].live_tensors or 0 for s in later)
    assert run.measures["peak_bytes"] == max(
        p.live_tensors or 0 for s in later for p in s.peak_bytes.values()
    )
    assert run.measures["seconds_evaluate"] == pytest.approx(3 * 2.4)
    assert run.measures["seconds_total"] == pytest.approx(
        sum(
            s.seconds.prepare
            + s.seconds.instrumented
            + s.seconds.train
            + s.seconds.data_wait
            + s.seconds.consolidate
            for s in record.steps
        )
    )
    assert run.measures["iteration_joules"] is None
    (gpu,) = _runs(make("clora", VOC_13_1, 0, H100))
    timed = sum(s.seconds.timed_iterations for s in gpu.record.steps[1:])
    joules = sum(s.energy_joules or 0 for s in gpu.record.steps[1:])
    assert gpu.measures["iteration_joules"] == pytest.approx(joules / timed)


def test_unknown_counts_stay_unknown() -> None:
    record = make()
    blind = replace(
        record.steps[-1], compute=replace(record.steps[-1].compute, train_flops=None), peak_bytes={}
    )
    (run,) = _runs(replace(record, steps=(*record.steps[:-1], blind)))
    assert run.measures["train_flops"] is None
    assert run.measures["netscore_train"] is None
    assert run.measures["netscore_clora"] is not None
    assert run.measures["peak_train_bytes"] is None
    (row,) = boards_of([run])[0].rows
    assert row.ranks["train"] is None


def test_pages_are_named_apart_whatever_a_variant_is_called() -> None:
    names = ["mib:a=1", "mib:a=1 ", "MIB:a=1", "../../mib", "ミブ", "", "x" * 500, "x" * 501]
    slugs = {slug(name, name) for name in names}
    assert len(slugs) == len(names)
    for each in slugs:
        assert set(each) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 8 <= len(each) <= 90
