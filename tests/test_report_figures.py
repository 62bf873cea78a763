"""Figures: the Pareto front by brute force, the same bytes each time, free text drawn as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import record_factory as factory
from record_factory import A100, H100, MSRC_16_5, SHAPES_4_2, VOC_13_1, make

from benchmark.record import Record
from reports.boards import Board, boards_of
from reports.columns import BY_KEY
from reports.draw import draw
from reports.figures import COLOURS, GREY, against_cost, by_class, figures_of, over_steps, styles, trade_off
from reports.labels import ANCHORS, Box
from reports.load import Found
from reports.output import Output
from reports.pareto import Offer, front
from reports.runs import scored
from reports.specs import Scatter, digest, shown


def _board(*records: Record) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])
    return board


def _all(place: factory.Place = SHAPES_4_2, seeds: int = 1) -> Board:
    records = [make(method, place, seed) for method in factory.TRAITS for seed in range(seeds)]
    return _board(*records, *(make("fine_tune", place.joint_place(), seed) for seed in range(seeds)))


def _brute_front(offers: list[Offer]) -> list[bool]:
    def beats(a: Offer, b: Offer) -> bool:
        assert a.cost is not None and b.cost is not None and a.accuracy is not None and b.accuracy is not None
        return a.cost <= b.cost and a.accuracy >= b.accuracy and a != b

    known = [offer for offer in offers if None not in offer]
    return [None not in o and not any(beats(other, o) for other in known) for o in offers]


@pytest.mark.parametrize("seed", range(30))
def test_front_equals_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 6, (random.integers(1, 25), 2)).tolist()
    offers = [Offer(cost if random.random() < 0.9 else None, float(accuracy)) for cost, accuracy in values]
    assert front(offers) == _brute_front(offers)


def test_front_by_hand() -> None:
    offers = [
        Offer(1, 50),
        Offer(2, 40),
        Offer(2, 60),
        Offer(2, 60),
        Offer(3, 60),
        Offer(None, 99),
        Offer(9, 61),
    ]
    assert front(offers) == [True, False, True, True, False, False, True]


def test_trade_off_shows_what_netscore_divides_by() -> None:
    board = _board(make("mib"), make("clora"), make("fine_tune", SHAPES_4_2.joint_place()))
    spec = trade_off(board, styles([board]))
    assert spec is not None
    points = {point.label: point for point in spec.points}
    last = make("clora").steps[-1]
    product = last.parameters.trainable / 1e6 * (last.compute.train_flops or 0) / 2 / 8 / 1e9
    assert points["clora"].x == pytest.approx(product)
    joint = board.joint
    assert joint is not None
    assert spec.bound == pytest.approx(joint.mean("miou_all_percent"))
    assert "joint training" not in points


def test_a_cost_plot_leaves_out_what_is_unknown_and_is_none_without_a_point() -> None:
    board = _all()
    style = styles([board])
    assert against_cost(board, BY_KEY["iteration_joules"], style) is None
    record = make("mib")
    blind = replace(record.steps[-1], compute=replace(record.steps[-1].compute, train_flops=None))
    partly = _board(replace(record, steps=(*record.steps[:-1], blind)), make("sdr"))
    spec = against_cost(partly, BY_KEY["train_flops"], style)
    assert spec is not None
    assert [point.label for point in spec.points] == ["sdr"]


def test_boards_of_mixed_hardware_draw_ratios_and_others_draw_what_was_measured() -> None:
    mixed = _board(
        make("fine_tune", VOC_13_1, 0, H100),
        make("fine_tune", VOC_13_1, 0, A100),
        make("mib", VOC_13_1, 0, H100),
        make("clora", VOC_13_1, 0, A100),
    )
    names = {figure.name for figure in figures_of(mixed, styles([mixed]))}
    assert {"iteration-ratio", "memory-ratio"} <= names
    assert not {"iteration-seconds", "peak-train-bytes", "iteration-joules"} & names
    same = {figure.name for figure in figures_of(_all(), styles([_all()]))}
    assert {"iteration-seconds", "peak-train-bytes", "trade-off", "steps", "classes", "train-flops"} <= same
    assert not {"iteration-ratio", "memory-ratio"} & same


def test_a_board_where_all_failed_has_no_figure() -> None:
    board = _board(factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1))
    assert figures_of(board, styles([board])) == ()


def test_course_over_steps_and_heat_hold_the_means_over_seeds() -> None:
    board = _all(VOC_13_1, seeds=2)
    row = next(row for row in board.rows if row.method == "mib")
    runs = [measured.run.scores for measured in row.counted]
    courses = over_steps(board, styles([board]))
    assert courses is not None
    course = next(c for c in courses.panels[0].courses if c.label == "mib")
    for t in range(8):
        expected = 50 * sum(run.steps[t].all or 0 for run in runs)
        assert course.values[t] == pytest.approx(expected)
    assert courses.panels[2].courses[0].values[0] is None
    assert courses.ticks == ("13", *["+1"] * 7)
    heat = by_class(board)
    assert heat is not None
    panel = next(p for p in heat.panels if p.label == "mib")
    assert len(panel.values) == 21
    assert panel.values[0][0] == pytest.approx(50 * sum(run.steps[0].iou[0] or 0 for run in runs))
    assert panel.values[20][:7] == (None,) * 7
    assert panel.values[20][7] == pytest.approx(50 * sum(run.steps[7].iou[20] or 0 for run in runs))


def test_without_a_background_class_the_heat_map_has_no_row_for_it() -> None:
    heat = by_class(_all(MSRC_16_5))
    assert heat is not None
    assert heat.classes[0] == "building"
    assert len(heat.classes) == 21


def test_styles_tell_methods_and_variants_apart() -> None:
    board = _board(*(make(m) for m in factory.TRAITS), make(params={"distillation": 100.0}))
    style = styles([board])
    assert style["fine_tune"].colour == GREY
    assert style["mib"].colour == style["mib:distillation=100.0"].colour
    assert len(set(style.values())) == len(style) == len(factory.TRAITS) + 1
    assert len({s.colour for s in style.values()}) == len(factory.TRAITS)
    assert "#f0e442" not in COLOURS


def test_same_spec_same_bytes_and_another_value_another_digest() -> None:
    board = _all()
    for figure in figures_of(board, styles([board]))[:4]:
        assert draw(figure.spec) == draw(figure.spec)
    spec = trade_off(board, styles([board]))
    assert spec is not None
    moved = replace(spec, points=(spec.points[0]._replace(y=1.0), *spec.points[1:]))
    assert digest(moved) != digest(spec) == digest(replace(spec))


HOSTILE = [
    "$\\frac{",
    "</svg><script>alert(1)</script>",
    "a\x00b\x1b[31m",
    "\u202eevil",
    "名前" * 40,
    "--><x>",
    "&amp;",
]


def test_hostile_names_are_drawn_as_text() -> None:
    board = _all()
    spec = trade_off(board, styles([board]))
    assert spec is not None
    points = tuple(p._replace(label=shown(t)) for p, t in zip(spec.points, HOSTILE, strict=True))
    svg = draw(replace(spec, points=points)).svg
    tags = {
        element.tag.rpartition("}")[2]
        for element in ET.fromstring(svg).iter()
        if isinstance(element.tag, str)
    }
    assert "script" not in tags
    assert b"http://www.w3.org/Graphics" not in svg  # no document type to be fetched
    assert b"\x00" not in svg and b"\x1b" not in svg


def test_names_fit_for_a_figure_are_printable_and_short() -> None:
    assert shown("a\nb\x00c\u202ed") == "a?b?c?d"
    assert shown("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("values", [(0.0, 0.0), (1e-9, 1e12), (5.0, 5.0), (0.0, 3e30)])
def test_any_range_of_costs_can_be_drawn(values: tuple[float, float]) -> None:
    board = _board(make("mib"), make("sdr"))
    spec = against_cost(board, BY_KEY["train_flops"], styles([board]))
    assert spec is not None
    points = tuple(p._replace(x=x, x_spread=None) for p, x in zip(spec.points, values, strict=True))
    assert draw(Scatter("cost", "mIoU", points, None)).png.startswith(b"\x89PNG")


def test_svg_is_legible_on_dark_paper() -> None:
    board = _board(make("mib"))
    spec = trade_off(board, styles([board]))
    assert spec is not None
    svg = draw(spec).svg.decode()
    assert "prefers-color-scheme: dark" in svg
    assert "fill: #1b2733" in svg  # ink is what the rule for dark paper replaces


def test_a_figure_is_drawn_again_only_when_what_it_shows_changed(tmp_path: Path) -> None:
    board = _board(make("mib"), make("sdr"))
    spec = trade_off(board, styles([board]))
    assert spec is not None
    first = Output(tmp_path)
    image = first.figure("a/plot", spec)
    first.finish()
    assert (image.width, image.height) == (614, 442)
    before = (tmp_path / "a/plot.svg").read_bytes()
    same = Output(tmp_path)
    same.figure("a/plot", spec)
    same.finish()
    assert same.tally.changed == []
    (tmp_path / "a/plot.svg").write_bytes(before + b" ")  # a cache that lies is not believed
    repaired = Output(tmp_path)
    repaired.figure("a/plot", spec)
    repaired.finish()
    assert (tmp_path / "a/plot.svg").read_bytes() == before
    other = Output(tmp_path)
    other.figure("a/plot", replace(spec, bound=1.0))
    assert len(other.tally.changed) == 2


def test_boxes_overlap_as_rectangles_do() -> None:
    assert Box(0, 0, 4, 4).overlap(Box(2, 1, 6, 3)) == 4
    assert Box(0, 0, 1, 1).overlap(Box(1, 0, 2, 1)) == 0
    assert len(set(ANCHORS)) == len(ANCHORS)
