"""Figures of costs: parts and steps by hand, left out where not comparable, drawn the same each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import record_factory as factory
from record_factory import A100, CPU, H100, MSRC_16_5, SHAPES_4_2, VOC_15_1, make

from benchmark.record import PeakBytes, Record, Seconds
from reports.boards import Board, boards_of
from reports.costfigures import cost_breakdown, cost_figures, cost_over_steps
from reports.draw import draw
from reports.figures import styles
from reports.load import Found
from reports.paper import lay_out
from reports.runs import scored

MIB = 2**20


def _board(*records: Record) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])
    return board


def _record(method: str, seed: int = 0, flops: int = 4, teacher: int = 0, held: int = 3) -> Record:
    """A run whose step t trains with ``flops`` G of the student, holding t times ``held`` MiB."""
    record, steps = make(method, seed=seed), []
    for t, step in enumerate(record.steps):
        parts = {"student": flops * 10**9, "backward": 2 * flops * 10**9, "teacher": teacher * 10**9}
        compute = replace(step.compute, train_flops=sum(parts.values()), train_flops_by_part=parts)
        memory = {"parameters": 2 * MIB, "activations": t * held * MIB}
        peaks = {"train": PeakBytes(live_tensors=sum(memory.values()), parts=memory)}
        seconds = Seconds(1.0, 2.0, 10.0 * (seed + 1), 0.5, 0.5, 99.0, 40, 3)
        state = 1024 * t if method == "sdr" else 0
        steps.append(replace(step, compute=compute, peak_bytes=peaks, seconds=seconds, state_bytes=state))
    return replace(record, steps=tuple(steps))


def test_parts_of_the_last_step_by_hand() -> None:
    board = _board(
        _record("mib", flops=4, teacher=5), _record("mib", 1, flops=6, teacher=5), _record("fine_tune")
    )
    bars = cost_breakdown(board)
    assert bars is not None
    compute, memory, sizes = bars.panels
    assert (compute.title, compute.parts) == ("Compute (GFLOPs)", ("teacher", "student", "backward"))
    assert {row.label: row.values for row in compute.rows} == {"mib": (5, 5, 10), "fine_tune": (0, 4, 8)}
    assert (memory.title, memory.parts) == ("Memory (MiB)", ("parameters", "activations"))
    assert {row.label: row.values for row in memory.rows} == {"mib": (2, 6), "fine_tune": (2, 6)}
    assert sizes.parts == ("trainable", "total", "deployed") and not sizes.stacked
    student = compute.tones[compute.parts.index("student")]
    assert len(set(compute.tones)) == 3 and student not in (memory.tones[1],)


def test_memory_is_left_out_across_hardware_and_where_no_run_tells_its_parts() -> None:
    mixed = _board(make("mib", VOC_15_1, environment=H100), make("sdr", VOC_15_1, environment=A100))
    figures = {figure.name: figure for figure in cost_figures(mixed, styles([mixed]))}
    assert "not comparable across hardware" in figures["breakdown"].caption
    titles = [panel.title for panel in figures["cost-steps"].spec.panels]  # type: ignore[union-attr]
    assert not any(title.startswith("Learning") for title in titles)
    blind = _board(make("mib"))
    bars = cost_breakdown(blind)
    assert bars is not None and [panel.title.split(" ")[0] for panel in bars.panels] == ["Parameters"]
    assert "no run tells its parts" in next(iter(cost_figures(blind, styles([blind])))).caption


def test_a_lower_bound_draws_no_bar() -> None:
    record = _record("mib")
    last = record.steps[-1]
    compute = replace(last.compute, train_uncounted={"mine::conv": 1})
    partly = replace(record, steps=(*record.steps[:-1], replace(last, compute=compute)))
    bars = cost_breakdown(_board(partly, _record("sdr")))
    assert bars is not None
    assert {row.label: sum(row.values) for row in bars.panels[0].rows} == {"mib": 0, "sdr": 12}


def test_costs_over_the_steps_by_hand() -> None:
    board = _board(_record("mib"), _record("mib", 1), _record("sdr"))
    courses = cost_over_steps(board, styles([board]))
    assert courses is not None and not courses.shared and courses.ticks == ("4", "+2", "+2")
    panels = {panel.title: {c.label: c for c in panel.courses} for panel in courses.panels}
    assert set(panels) == {
        "Parameters (M)",
        "Carried state (KiB)",
        "FLOPs / iteration (G)",
        "Learning so far (s)",
    }
    assert panels["Carried state (KiB)"]["sdr"].values == (0, 1, 2)
    assert panels["Carried state (KiB)"]["mib"].values == (0, 0, 0)
    assert panels["FLOPs / iteration (G)"]["sdr"].values == (12, 12, 12)
    learning = panels["Learning so far (s)"]
    assert learning["sdr"].values == (14, 28, 42)  # 1 + 2 + 10 + 0.5 + 0.5 a step, without evaluation
    assert learning["mib"].values == (19, 38, 57)  # its second seed trains 20 s a step
    assert learning["mib"].spread[2] == pytest.approx(30 / 2**0.5)
    assert learning["sdr"].spread == (None, None, None)


def test_what_is_unknown_for_a_seed_is_a_gap() -> None:
    record = _record("mib", 1)
    blind = replace(record.steps[1], compute=replace(record.steps[1].compute, train_flops=None))
    partly = replace(record, steps=(record.steps[0], blind, record.steps[2]))
    board = _board(_record("mib"), partly)
    courses = cost_over_steps(board, styles([board]))
    assert courses is not None
    panel = next(p for p in courses.panels if p.title.startswith("FLOPs"))
    assert panel.courses[0].values == (12, None, 12)


def test_no_figure_without_a_finished_run() -> None:
    board = _board(factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1))
    assert list(cost_figures(board, styles([board]))) == []


def test_they_are_drawn_the_same_each_time_and_fit_a_paper() -> None:
    board = _board(*(_record(method, teacher=2) for method in factory.TRAITS))
    figures = list(cost_figures(board, styles([board])))
    assert [figure.name for figure in figures] == ["breakdown", "cost-steps"]
    for figure in figures:
        drawn = draw(figure.spec)
        assert drawn == draw(figure.spec)
        assert drawn.png.startswith(b"\x89PNG") and b"<svg" in drawn.svg
        assert figure.alt and figure.caption
        assert lay_out(figure.spec, 2).get_size_inches()[0] == pytest.approx(6.9)
    assert "mib 14" in figures[0].alt  # 4 + 8 of the student, 2 of the teacher


def test_hostile_names_are_drawn_as_text() -> None:
    evil = "</svg><script>alert(1)</script>$\\frac{"
    record = _record("mib")
    compute = replace(record.steps[-1].compute, train_flops_by_part={evil: 5, "student": 1})
    last = replace(record.steps[-1], compute=compute)
    board = _board(replace(record, variant=evil, steps=(*record.steps[:-1], last)), make(environment=CPU))
    bars = cost_breakdown(board)
    assert bars is not None
    assert b"<script" not in draw(bars).svg
    assert cost_breakdown(_board(make("mib", MSRC_16_5))) is not None
