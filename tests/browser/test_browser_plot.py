"""The plot of a board in a browser: axes, joins, front, what pointer and keyboard are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_site import Visit, address

from reports.boards import Board
from reports.columns import number

pytestmark = pytest.mark.browser


def test_the_plot_draws_what_is_chosen_and_says_it_in_words(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    points = "cssbench.plot.points().map(p => [p.row.name, p.x, p.y])"
    for x, y, factor in (
        ("parameters_trainable", "miou_all_percent", 1e6),
        ("iteration_ratio", "forget_score_points", 1),
    ):
        page.select_option("[data-plot=x]", x)
        page.select_option("[data-plot=y]", y)
        wanted = {row.variant: (row.mean(x), row.mean(y)) for row in board[0].rows if row.ok}
        drawn = {name: (px, py) for name, px, py in page.evaluate(points)}
        assert drawn.keys() == wanted.keys()
        for name, (px, py) in drawn.items():
            assert px * factor == pytest.approx(wanted[name][0])
            assert py == pytest.approx(wanted[name][1])
    assert f"y={y}" in address(page, f"x={x}")
    assert page.locator("[data-plot=body] tr").count() == 6
    assert page.evaluate("cssbench.plot.chart.options.scales.x.type") == "linear"
    page.check("[data-plot=log-x]")
    assert page.evaluate("cssbench.plot.chart.options.scales.x.type") == "logarithmic"
    assert page.is_disabled("[data-plot=log-y]")  # forget scores are below zero
    assert page.is_disabled("[data-plot=x] option[value=iteration_joules]")  # no counter on this machine


def test_the_plot_joins_what_works_on_top_and_knows_its_front(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1])
    joins = page.evaluate(
        "cssbench.plot.points().filter(p => p.row.on !== null)"
        ".map(p => [p.row.name, cssbench.live.rows[p.row.on].name])"
    )
    assert dict(joins) == {"clora": "mib", "clora:on=plop,rank=16": "plop", "sdr": "mib"}
    front = page.evaluate(
        "cssbench.plotLayers.front([{x:1,y:5},{x:2,y:4},{x:2,y:6},{x:2,y:6},{x:3,y:6}],"
        "{x:'lower',y:'higher'})"
    )
    assert front == [{"x": 1, "y": 5}, {"x": 2, "y": 6}, {"x": 2, "y": 6}]


def test_a_point_under_the_pointer_tells_its_numbers(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.locator("[data-plot=canvas]").scroll_into_view_if_needed()
    index, x, y = page.evaluate(
        "() => { const all = cssbench.plot.chart.getDatasetMeta(0).data;"
        " const i = all.findIndex((p, n) => cssbench.plot.points()[n].row.name === 'plop');"
        " return [i, all[i].x, all[i].y]; }"
    )
    assert index >= 0
    page.hover("[data-plot=canvas]", position={"x": x, "y": y})
    page.wait_for_function("() => document.querySelector('[data-plot=details] a')")
    row = next(row for row in board[0].rows if row.variant == "plop")
    said = page.locator("[data-plot=details]").text_content()
    mean, std = row.cells["miou_all_percent"][:2]
    assert said.startswith(f"plop: mIoU all {number(mean, 1)} ± {number(std, 1)}")
    page.click("[data-plot=details] a")
    assert page.locator("#board tr:target th a").text_content() == "plop"


def test_the_plot_is_walked_by_keyboard(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.focus("[data-plot=canvas]")
    said = []
    for key in ("Home", "ArrowRight", "End"):
        page.keyboard.press(key)
        said.append(page.locator("[data-plot=details]").text_content())
    assert len(set(said)) == 3
    assert all("mIoU all" in text and "2 seeds" in text for text in said)
    assert any("On the Pareto front." in text for text in said)


def test_the_tables_filter_holds_for_the_plot(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.fill("input[type=search]", "-fine_tune -clora")
    page.wait_for_function("() => cssbench.plot.points().length < 6")
    assert set(page.evaluate("cssbench.plot.points().map(p => p.row.name)")) == {"mib", "sdr", "plop"}
    again = reader.open(board[1], address(page, "board.filter=-fine_tune"))
    assert set(again.evaluate("cssbench.plot.points().map(p => p.row.name)")) == {"mib", "sdr", "plop"}
