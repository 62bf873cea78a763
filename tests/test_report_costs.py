"""What a variant cost, on its page: parts by hand, how each number was got, unknown with its reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import record_factory as factory
from record_factory import A100, CPU, SHAPES_4_2, make

import reports.draw
from benchmark.measure.operators import suspects
from benchmark.record import PeakBytes, Record, Seconds
from reports import build
from reports.columns import COLUMNS, scale_of
from reports.costbars import amount, breakdowns
from reports.costlist import costs, costs_of
from reports.fields import measured
from reports.load import Found
from reports.runs import Run, scored
from reports.variants import Variant


def _record(**changes: object) -> Record:
    """Three steps whose costs are round numbers."""
    record = make("mib", environment=replace(CPU, packages={"torch": "2.11.0", "fvcore": "0.1.5"}))
    steps = []
    for t, step in enumerate(record.steps):
        parts = {"backward": 400 * 10**6, "student": 100 * 10**6} | ({"teacher": 300 * 10**6} if t else {})
        compute = replace(
            step.compute, train_flops=sum(parts.values()), train_flops_by_part=parts,
            train_uncounted={"aten::add": 7, "aten::mul": 3},
        )  # fmt: skip
        held = {"activations": 6 * 2**20, "parameters": 2 * 2**20, "optimiser": 0}
        peaks = {**step.peak_bytes, "train": PeakBytes(live_tensors=8 * 2**20, parts=held)}
        seconds = Seconds(1.0, 2.0, 10.0, 0.5, 0.0, 3.0, 40, 3)
        steps.append(replace(step, compute=compute, peak_bytes=peaks, seconds=seconds))
    return replace(record, steps=tuple(steps), **changes)  # type: ignore[arg-type]


def _run(record: Record) -> Run:
    return scored(Found("run.json", record))


def test_compute_by_part_and_step_by_hand() -> None:
    compute = breakdowns([_record()])[0]
    assert [bar.text for bar in compute.bars] == [
        "step 0: student 100\u202fM, backward 400\u202fM",
        "step 1: teacher 300\u202fM, student 100\u202fM, backward 400\u202fM",
        "step 2: teacher 300\u202fM, student 100\u202fM, backward 400\u202fM",
    ]
    assert [bar.total for bar in compute.bars] == ["500\u202fM", "800\u202fM", "800\u202fM"]
    first, second = compute.bars[0].pieces  # 500 of 800 on a scale of 300
    assert (first.x, first.width, second.x, second.width) == ("0.00", "37.50", "37.50", "150.00")
    assert compute.how == "counted"
    assert "by torch 2.11.0's formulas" in compute.note
    assert "10 calls of 2 operators" in compute.note
    teacher, student = compute.bars[1].pieces[:2]
    assert student.tone == first.tone != teacher.tone  # a part has one tone in all steps


def test_memory_seconds_and_parameters_by_hand() -> None:
    _, memory, parameters, seconds = breakdowns([_record()])
    assert (
        memory.bars[0].text == "step 0: parameters 2.00\u202fMiB, activations 6.00\u202fMiB"
    )  # no part of 0
    assert (memory.bars[0].total, memory.how) == ("8.00\u202fMiB", "measured")
    assert "on AMD EPYC 7543, 2 threads" in memory.note
    assert seconds.bars[1].total == "16.5\u202fs"
    assert seconds.bars[1].text.startswith(
        "step 1: prepare 1.00\u202fs, first iterations, under counters 2.00\u202fs"
    )
    assert "charged to each" in seconds.note
    assert [bar.name for bar in parameters.bars] == ["trainable", "while training", "deployed"]


def test_step_0_of_its_own_is_charged_to_no_other() -> None:
    record = _record()
    own = replace(record, steps=tuple(replace(step, base=None) for step in record.steps))
    assert "charged" not in breakdowns([own])[3].note


def test_each_cost_says_how_it_was_got_and_where() -> None:
    found = {cost.name: cost for cost in costs([_record()])}
    flops = found["Training FLOPs of an iteration"]
    assert (flops.text, flops.how) == ("800\u202fM", "counted")
    assert flops.note.startswith("by torch 2.11.0, a batch of 8; zero by definition: 10 calls")
    macs = found["Inference MACs"]
    assert (macs.text, macs.how) == ("1.21\u202fG", "counted")
    assert macs.note.startswith("by fvcore 0.1.5, one image of 96 pixels")
    time = found["Time of an iteration"]
    assert (time.text, time.how) == ("250\u202fms", "measured")
    assert time.note == "mean of 40 iterations after the first 3; on AMD EPYC 7543, 2 threads"
    peak = found["Peak memory while training"]
    assert (peak.text, peak.how) == ("8.00\u202fMiB", "measured")
    assert "live tensors" in peak.note
    energy = found["Energy of an iteration"]
    assert (energy.text, energy.note) == ("", "no energy counter on this machine, or others used its GPU")


def test_why_energy_is_unknown_is_said_as_the_record_has_it() -> None:
    record = _record()
    last = replace(record.steps[-1], energy_notes=("no NVML library", "<b>none</b>"))
    noted = replace(record, steps=(*record.steps[:-1], last))
    found = {cost.name: cost for cost in costs([noted])}
    assert found["Energy of an iteration"].note == "no NVML library; <b>none</b>"
    line = next(line for line in measured([noted]).same if line.name == "energy notes")
    assert line.values == ("–", "–", "no NVML library; <b>none</b>")
    known = replace(last, energy_joules=80.0, energy_notes=("another process used the GPU",))
    shared = replace(record, steps=(*record.steps[:-1], known))
    energy = {cost.name: cost for cost in costs([shared])}["Energy of an iteration"]
    assert (energy.text, energy.note.endswith("; another process used the GPU")) == ("2.00\u202fJ", True)


def test_on_a_gpu_memory_has_no_parts_and_says_why() -> None:
    record = make("mib", environment=A100)
    memory = breakdowns([record])[1]
    assert memory.reason == "CUDA's allocator does not say what its blocks hold"
    found = {cost.name: cost for cost in costs([record])}
    assert (
        "CUDA's allocator, bytes handed out; on NVIDIA A100-SXM4-40GB"
        in found["Peak memory while training"].note
    )
    assert found["Energy of an iteration"].text.endswith("J")


def test_a_run_without_a_step_or_a_timed_iteration_has_no_cost_made_up() -> None:
    failed = factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 0)
    assert costs_of(Variant((_run(failed),))) == ()
    record = _record()
    still = replace(record.steps[-1], seconds=Seconds(0, 1, 0, 0, 0, 0, 0, 3))
    short = replace(record, steps=(*record.steps[:-1], still))
    found = {cost.name: cost for cost in costs([short])}
    assert found["Time of an iteration"].text == ""


def test_a_count_that_leaves_out_a_product_is_called_a_lower_bound() -> None:
    record = _record()
    compute = replace(record.steps[-1].compute, train_uncounted={"mylib::conv": 2, "aten::add": 1})
    partly = replace(record, steps=(*record.steps[:-1], replace(record.steps[-1], compute=compute)))
    note = breakdowns([partly])[0].note
    assert "a lower bound, as mylib::conv × 2 may hide multiply-adds" in note
    assert "aten::add" not in note


def test_operators_that_may_hide_multiply_adds() -> None:
    table = {"aten::add": 1, "aten::_convolution_special": 2, "aten::upsample_bilinear2d": 3, "foo::bar": 4}
    assert suspects(table) == {"aten::_convolution_special": 2, "foo::bar": 4}
    code = "import sys, benchmark.measure.operators, reports.costlist; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_column_says_how_it_is_got_and_what_is_measured_is_tied_to_hardware() -> None:
    for column in COLUMNS:
        ratio = column.kind == "ratio"
        assert (column.how == "measured") == (column.hardware or ratio), column.key
    assert {c.how for c in COLUMNS if c.group == "accuracy"} == {"scored"}
    assert {c.how for c in COLUMNS if c.kind == "operations"} == {"counted"}


def test_amounts_have_their_own_unit() -> None:
    assert amount(1_500, "bytes") == "1.46\u202fKiB"
    assert amount(0.25, "seconds") == "250\u202fms"
    assert scale_of("bytes", []).name == "B"


def test_the_page_shows_it_all_and_hostile_names_are_inert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)
    record = _record()
    evil = "<script>alert(1)</script>"
    compute = replace(
        record.steps[-1].compute, train_flops_by_part={evil: 7}, train_uncounted={f"x::{evil}": 1}
    )
    hostile = replace(record, steps=(*record.steps[:-1], replace(record.steps[-1], compute=compute)))
    factory.write(hostile, tmp_path / "results")
    (board,) = build(tmp_path / "results", tmp_path / "site").boards
    text = (tmp_path / "site" / f"{board.rows[0].runs[0].run.page}.html").read_text()
    assert "<script>alert" not in text
    assert text.count('<figure class="breakdown">') == 4
    assert 'aria-label="step 0: student 100\u202fM, backward 400\u202fM"' in text
    assert "No number here is an estimate" in text
