"""The page of a variant: its runs side by side, their means by hand, and nothing of a run lost."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import record_factory as factory
from record_factory import A100, CPU, MSRC_16_5, SHAPES_4_2, make

import reports.draw
from benchmark.record import PeakBytes, Record, Seconds
from reports import build
from reports.boards import boards_of
from reports.classes import class_table, mistakes
from reports.costbars import breakdowns
from reports.costlist import costs, costs_of
from reports.fields import environment, measured, provenance, uncounted
from reports.figures import mean_iou
from reports.load import Found
from reports.losscharts import loss_charts
from reports.runs import Run, scored
from reports.variants import Variant, spread, variants_of, whole_mean


def _runs(*records: Record) -> list[Run]:
    return [scored(Found(f"{i:03}.json", record)) for i, record in enumerate(records)]


def _variant(*records: Record) -> Variant:
    (variant,) = variants_of(_runs(*records))
    return variant


def _timed(record: Record, train: float, latency: float | None = 0.5, **changes: object) -> Record:
    """The record with 40 timed iterations in its last step that took so many seconds."""
    seconds = Seconds(1.0, 2.0, train, 0.5, 0.0, 3.0, 40, 3)
    last = replace(record.steps[-1], seconds=seconds, latency_seconds=latency, **changes)  # type: ignore[arg-type]
    return replace(record, steps=(*record.steps[:-1], last))


def test_what_differs_in_seed_and_hardware_alone_is_one_variant() -> None:
    same = [make("mib"), make("mib", seed=1), make("mib", environment=A100)]
    others = [
        make("mib", params={"distillation": 2.0}), make("sdr"), make("mib", MSRC_16_5),
        make("mib", source_digest=factory.sha("other")), make("mib", protocol_digest=factory.sha("other")),
        make("mib", model="other"), make("mib", split="validation"),
        replace(make("mib"), method="sdr"), make("fine_tune", SHAPES_4_2.joint_place()),
    ]  # fmt: skip
    found = variants_of(_runs(*same, *others))
    assert [len(variant.runs) for variant in found] == [3, *[1] * len(others)]
    slugs = [f"{run.stem}" for variant in found for run in variant.runs]
    assert len({variant.page for variant in found}) == len(found) and len(set(slugs)) == len(slugs)
    assert [v.on_board for v in found] == [
        v.first.split == "test" and v.first.method != "fine_tune" for v in found
    ]


def test_a_page_lies_beside_that_of_its_board_wherever_its_records_lie() -> None:
    (board,) = boards_of(_runs(make("mib"), make("sdr", seed=3)))
    for row in board.rows:
        run = row.runs[0].run
        assert run.page.startswith(f"boards/{board.slug}/")
        assert replace(run, path="elsewhere/x.json").page == run.page


def test_the_newest_finished_run_of_each_seed_counts_and_tells() -> None:
    old = make("mib", finished="2026-01-01T00:00:00+00:00")
    new = make("mib", finished="2026-02-01T00:00:00+01:00", environment=A100)
    failed = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1, seed=1)
    variant = _variant(new, old, failed, make("mib", seed=2))
    assert [(r.record.seed, r.record.environment.device) for r in variant.counted] == [
        (0, "cuda"),
        (2, "cpu"),
    ]
    assert variant.telling == variant.counted
    assert list(variant.labels.values()) == [
        "seed 0, NVIDIA A100-SXM4-40GB", "seed 0, AMD EPYC 7543, 2 threads", "seed 1", "seed 2",
    ]  # fmt: skip
    less = replace(failed, seed=2, steps=())
    assert [r.record.seed for r in _variant(failed, less).telling] == [1]
    assert _variant(less).telling == ()


def test_means_and_spreads_are_of_all_or_unknown() -> None:
    assert whole_mean([1.0, 2.0, 6.0]) == 3.0 and spread([1.0, 2.0, 6.0]) == pytest.approx(7**0.5)
    assert whole_mean([1.0, None]) is None is spread([1.0, None])
    assert (whole_mean([]), spread([5.0])) == (None, None)
    assert repr(whole_mean([2**60 + 1] * 3)) == str(2**60 + 1)


def test_scores_of_the_mean_are_the_boards() -> None:
    records = [make("mib", seed=seed) for seed in range(3)]
    variant, (board,) = _variant(*records), boards_of(_runs(*records))
    table, row = class_table(variant), board.rows[0]
    assert table.heads == (("mean of 3 seeds", 3), ("seed 0", 3), ("seed 1", 3), ("seed 2", 3))
    final = {line.name: line.values[2] for line in table.scores}
    assert final == {f"mIoU {k}": f"{row.mean(f'miou_{k}_percent'):.1f}" for k in ("all", "old", "new")}
    for line, wanted in zip(table.lines, mean_iou(row, 9), strict=True):
        assert [cell.text for cell in line.cells[:3]] == ["" if v is None else f"{v:.1f}" for v in wanted]
        own = [f"{100 * step.iou[0]:.1f}" for step in variant.runs[1].scores.steps]  # type: ignore[operator]
        assert line.name != "background" or [cell.text for cell in line.cells[6:9]] == own


def test_a_run_that_ended_early_has_the_steps_it_finished() -> None:
    failed = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1, seed=1)
    table = class_table(_variant(make("mib"), failed, replace(failed, seed=2, steps=())))
    assert table.heads == (("seed 0", 3), ("seed 1", 1))  # one finished run is its own mean
    assert {len(line.cells) for line in table.lines} == {4}


def test_mistakes_are_means_of_shares_between_their_ends() -> None:
    def record(seed: int, off: int) -> Record:
        confusion = [[0] * 9 for _ in range(9)]
        confusion[1][0], confusion[1][1], confusion[0][0] = off, 8 - off, 5
        made = make(seed=seed)
        return replace(
            made, steps=(*made.steps[:-1], replace(made.steps[-1], confusion=tuple(map(tuple, confusion))))
        )

    assert mistakes(_variant(record(0, 6), record(1, 2))) == (("disc", "background", "50.0", "25.0 to 75.0"),)


def test_fields_in_which_runs_differ_stand_by_run_and_step() -> None:
    failed = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1, seed=1)
    found = measured([_timed(make("mib"), 10.0), replace(failed, steps=make("mib").steps[:1])])
    same = {line.name: line.values for line in found.same}
    apart = {line.name: line.values for line in found.apart}
    assert len(same["parameters · deployed"]) == 3 and apart == {}
    found = measured([_timed(make("mib"), 10.0), _timed(make("mib"), 12.0)])
    assert [line.name for line in found.apart] == ["seconds · train"]
    values = found.apart[0].values
    assert (values[2], values[5], values[:2]) == ("10.0", "12.0", values[3:5])
    told = provenance([make("mib"), make("mib", seed=1)])
    assert [[field.value for field in column] for column in told.apart if column[0].name == "seed"] == [
        ["0", "1"]
    ]
    assert {field.name for field in told.same} & {column[0].name for column in told.apart} == set()
    kinds = environment([make("mib"), make("mib", environment=A100)])
    assert ["unknown", "NVIDIA A100-SXM4-40GB"] in [
        [field.value for field in column] for column in kinds.apart
    ]


def test_operators_are_told_by_run_where_their_counts_differ() -> None:
    one, two = make("mib"), make("mib", seed=1)
    last = replace(two.steps[-1], compute=replace(two.steps[-1].compute, uncounted={"aten::x": 3}))
    fields = uncounted({"seed 0": one, "seed 1": replace(two, steps=(*two.steps[:-1], last)), "seed 2": one})
    assert [(field.name, field.value) for field in fields] == [
        ("in an inference, seed 0; seed 2", "aten::upsample_bilinear2d × 2"),
        ("in an inference, seed 1", "aten::x × 3"),
        ("in a training iteration", "none"),
    ]


def test_costs_are_means_with_their_spread_on_each_hardware() -> None:
    records = [
        _timed(make("mib"), 10.0),
        _timed(make("mib", seed=1), 14.0),
        _timed(make("mib", seed=2, environment=A100), 2.0),
    ]
    cpu, gpu = costs_of(_variant(*records))
    assert (cpu.hardware, cpu.runs, gpu.runs) == ("AMD EPYC 7543, 2 threads", "mean of 2 runs", "")
    found = {cost.name: cost for cost in cpu.costs}
    assert found["Time of an iteration"].text == "300\u202f±\u202f71\u202fms"  # 250 and 350
    assert found["Latency"].text == "500\u202fms"  # the same in both
    assert found["Deployed parameters"].text == "2.86\u202fM"
    seconds = cpu.breakdowns[3].bars[2]
    assert (
        seconds.text.startswith("step 2: prepare 1.00\u202fs") and seconds.total == "18.5\u202fs"
    )  # 1+2+12+.5+3
    assert {cost.name: cost.text for cost in gpu.costs}["Time of an iteration"] == "50.0\u202fms"


def test_a_mean_is_unknown_where_a_run_has_no_number_and_notes_say_of_how_many() -> None:
    note = "the GPU was shared with 2 other processes"
    one, two = _timed(make("mib"), 10.0, None), _timed(make("mib", seed=1), 10.0, energy_notes=(note,))
    found = {cost.name: cost for cost in costs([one, two])}
    assert found["Latency"].text == ""
    assert found["Time of an iteration"].note.endswith(f"; in 1 of 2 runs: {note}")
    peaks = {"train": PeakBytes(live_tensors=8, parts={"state": 8})}
    halves = [replace(r, steps=(*r.steps[:-1], replace(r.steps[-1], peak_bytes=peaks))) for r in (one, two)]
    assert breakdowns([one, halves[1]])[1].reason == "the record has no parts"
    assert breakdowns(halves)[1].bars[2].text == "step 2: state 8.00\u202fB"


def test_what_runs_say_differently_of_a_count_is_all_said() -> None:
    newer = replace(CPU, packages={"torch": "2.12.0"})
    note = breakdowns([make("mib"), make("mib", seed=1, environment=newer)])[0].note
    assert (
        "by torch 2.11.0's formulas" in note and "; or FLOPs" in note and "by torch 2.12.0's formulas" in note
    )


def test_loss_charts_have_a_line_a_run_on_one_scale() -> None:
    step = make().steps[0]
    runs = [[replace(step, losses={"ce": losses})] for losses in ((4.0, 0.0), (2.0, 2.0))]
    (chart,) = loss_charts([*runs, []])
    assert chart.lines == ("25.00,2.00 75.00,28.00", "25.00,15.00 75.00,15.00")
    assert (chart.low, chart.high) == ("0", "4.00")


def test_the_page_shows_every_run_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)
    paths = [factory.write(make("mib", seed=seed), tmp_path / "results") for seed in range(2)]
    failed = factory.failed("mib", SHAPES_4_2, "diverged", "loss is not finite\nat step 1", 1, seed=7)
    paths.append(factory.write(failed, tmp_path / "results"))
    (board,) = build(tmp_path / "results", tmp_path / "site").boards
    (row,) = board.rows
    stem = tmp_path / "site" / row.runs[0].run.page
    page = stem.with_name(f"{stem.name}.html").read_text()
    for measured_run, path in zip(row.runs, paths, strict=True):
        run = measured_run.run
        assert f'<tr id="{run.slug}">' in page and f'href="{run.slug}.json"' in page
        assert (tmp_path / "site" / f"{run.stem}.json").read_bytes() == path.read_bytes()
        assert f"{path.name}".replace("-", "-<wbr>").replace(".", ".<wbr>") in page
    headline = dict(re.findall(r"<div><dt>([^<]+)</dt><dd>([^<]+)</dd></div>", page))
    cell = row.cells["miou_all_percent"]
    assert headline["mIoU all"] == f"{cell.mean:.1f} ± {cell.std:.1f} %"
    assert "loss is not finite\nat step 1" in page and ">seed 7<" in page
    assert "the mean of 2 runs, and the least and the largest of them" in page
    lines = list(csv.DictReader(io.StringIO(stem.with_name(f"{stem.name}.csv").read_text())))
    assert [(line["seed"], line["step"]) for line in lines] == [
        (seed, step) for seed in "01" for step in "012"
    ] + [("7", "0")]
    assert {line["status"] for line in lines} == {"ok", "diverged"}
    scores = [step.all for measured_run in row.runs for step in measured_run.run.scores.steps]
    assert [float(line["miou_all_percent"]) for line in lines] == pytest.approx(
        [100 * (s or 0) for s in scores]
    )
    disc = [step.iou[1] for measured_run in row.runs for step in measured_run.run.scores.steps]
    assert [float(line["iou disc"]) for line in lines] == pytest.approx([100 * (v or 0) for v in disc])
