"""NetScore with a reader's own exponents: the benchmark's formula, and swaps that are solved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_site import Visit, address, set_exponent, visit

from benchmark.metrics import netscore
from reports.boards import Board
from reports.columns import number
from reports.runs import inputs

pytestmark = pytest.mark.browser


def _standing(page: Any, column: int) -> dict[str, str]:
    lines = page.eval_on_selector_all(
        "#netscore-table tbody tr.ranked",
        "(lines, i) => lines.map(l => [l.cells[0].textContent, l.cells[i].firstChild?.data ?? ''])",
        column,
    )
    return dict(lines)


def _scores(found: Board, name: Any, alpha: float, beta: float, gamma: float) -> dict[str, float]:
    """A second way to a row's score: the mean over its runs of the benchmark's own formula."""
    result = {}
    for row in (row for row in found.rows if row.ok):
        runs = [
            netscore(m.measures["miou_all_percent"], *inputs(m.run.record, name), alpha, beta, gamma)
            for m in row.counted
        ]
        result[row.variant] = sum(score for score in runs if score is not None) / len(runs)
    return result


def test_the_sliders_move_scores_and_ranks_as_the_formula_does(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1])
    orders = set()
    for alpha, beta, gamma in ((2, 0.5, 0.5), (4, 0, 0), (0, 1.5, 0), (1, 0.25, 2)):
        for exponent, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            set_exponent(page, exponent, value)
        for name, column in (("train", 4), ("clora", 8), ("deploy", 12)):
            wanted = _scores(board[0], name, alpha, beta, gamma)
            live = page.evaluate(
                "name => cssbench.live.rows.filter(r => r.kind === 'ranked')"
                ".map(r => [r.name, cssbench.netscore.scoreOf(r, name)])",
                name,
            )
            assert dict(live) == pytest.approx(wanted, abs=1e-9)
            printed = {key: number(value, 2) for key, value in wanted.items()}
            assert _standing(page, column) == printed
            ranks = {
                key: str(1 + sum(o > value + 1e-9 for o in wanted.values())) for key, value in wanted.items()
            }
            assert _standing(page, column + 1) == ranks
        order = list(_standing(page, 4))
        trained = _scores(board[0], "train", alpha, beta, gamma)
        assert [trained[key] for key in order] == pytest.approx(sorted(trained.values(), reverse=True))
        orders.add(tuple(order))
    assert len(orders) == 2
    assert "beta=0.25" in address(page, "gamma=2")
    page.click("[data-netscore=reset]")
    assert _standing(page, 4) == {
        key: number(value, 2) for key, value in _scores(board[0], "train", 2, 0.5, 0.5).items()
    }


def test_where_the_ranking_turns_is_solved_not_searched(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.check("input[name=netscore-board][value=train]")
    for direction in (1, -1):
        swap = page.evaluate(
            "direction => { const rows = cssbench.netscore.standing('train').map(e => e.row);"
            " const t = cssbench.netscore.nextTurn(rows, 'train', 'beta', direction);"
            " return t && [t.value, t.above.name, t.below.name]; }",
            direction,
        )
        if swap is None:
            continue
        value, above, below = swap
        scores = {side: _scores(board[0], "train", 2, value + side * 1e-6, 0.5) for side in (-1, 0, 1)}
        assert scores[0][above] == pytest.approx(scores[0][below], abs=1e-9)
        assert scores[1][above] > scores[1][below]
        assert scores[-1][above] < scores[-1][below]
        steps = [0.5 + direction * k * abs(value - 0.5) / 50 for k in range(50)]
        orders = {
            tuple(sorted(s, key=lambda k: -s[k]))
            for s in (_scores(board[0], "train", 2, b, 0.5) for b in steps)
        }
        assert len(orders) == 1  # nothing swaps before
    assert page.locator("[data-netscore=beta-marks] line").count() > 0
    button = page.locator("#turns-beta button").first
    button.click()
    assert page.locator("[data-netscore=beta-number]").input_value() != "0.5"


def test_the_formula_shows_the_row_under_pointer_or_focus(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    for position, act in ((2, "hover"), (3, "focus")):
        line = page.locator("#netscore-table tbody tr").nth(position)
        name = line.locator("a").text_content()
        line.hover() if act == "hover" else line.locator("a").focus()
        assert page.locator("[data-netscore=row]").text_content() == name
        score = _scores(board[0], "train", 2, 0.5, 0.5)[name]
        assert page.locator("[data-netscore=worked]").text_content().endswith(f"= {number(score, 2)} dB")


def test_rows_do_not_glide_for_a_reader_who_wants_no_motion(board: tuple[Board, Path], browser: Any) -> None:
    moving = "document.getAnimations().filter(a => a.effect.target.tagName === 'TR').length"
    for motion, moves in (("reduce", False), ("no-preference", True)):
        with visit(browser, reduced_motion=motion) as reader:
            page = reader.open(board[1])
            page.evaluate("document.getElementById('netscore').scrollIntoView()")
            page.check("[data-netscore=all]")
            set_exponent(page, "beta", 0)
            set_exponent(page, "alpha", 4)
            count = page.evaluate(
                "() => { const s = document.querySelector('[data-netscore=beta]'); s.value = 2;"
                f" s.dispatchEvent(new Event('input')); return {moving}; }}"
            )
            assert (count > 0) == moves


def test_a_slider_that_is_dragged_writes_the_address_once(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.evaluate(
        "() => { window.written = 0; const write = history.replaceState.bind(history);"
        " history.replaceState = (...all) => { window.written += 1; write(...all); };"
        " const slider = document.querySelector('[data-netscore=alpha]');"
        " for (let i = 0; i < 120; i += 1) {"
        " slider.value = 1 + i / 100; slider.dispatchEvent(new Event('input')); } }"
    )
    assert "alpha=2.19" in address(page, "alpha=")
    assert page.evaluate("window.written") <= 3  # browsers refuse or throttle hundreds
