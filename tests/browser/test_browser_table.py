"""The table of a board in a browser: sorting, filtering, columns, heads that stay, long boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import record_factory as factory
from browser_site import Visit, address, quick_build, visit
from record_factory import make

from reports.boards import Board

pytestmark = pytest.mark.browser


def _names(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        "#board tbody tr th", "cells => cells.map(c => c.querySelector('a').textContent)"
    )


def _sort(page: Any, key: str) -> None:
    page.click(f"#board th[data-key={key}] button")


def test_a_column_sorts_both_ways_with_joint_on_top_and_failed_last(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1])
    by_rank = _names(page)
    assert by_rank == ["joint training", *(row.variant for row in board[0].rows)]
    _sort(page, "miou_old_percent")
    finished = [row for row in board[0].rows if row.ok]
    best = sorted(finished, key=lambda row: -(row.mean("miou_old_percent") or 0))
    wanted = [row.variant for row in best]
    assert wanted != by_rank[1:-1]
    assert _names(page) == ["joint training", *wanted, "ewc"]
    head = page.locator("#board th[data-key=miou_old_percent]")
    assert head.get_attribute("aria-sort") == "descending"
    assert "Sorted by mIoU old" in page.locator("[data-live=board]").text_content()
    _sort(page, "miou_old_percent")
    assert _names(page) == ["joint training", *reversed(wanted), "ewc"]
    kept = address(page, "board.sort=miou_old_percent%2Cascending")
    again = reader.open(board[1], kept)
    assert _names(again) == ["joint training", *reversed(wanted), "ewc"]


def test_sorting_works_by_keyboard_alone(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#board th[data-key=name] button")
    page.keyboard.press("Enter")
    assert _names(page)[1:-1] == sorted(row.variant for row in board[0].rows if row.ok)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('th').dataset.key") == "seeds"


def test_the_filter_takes_words_and_words_to_leave_out(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.fill("input[type=search]", "CLoRA")
    assert sorted(_names(page)) == ["clora", "clora:on=plop,rank=16"]
    assert page.locator("[data-live=board]").text_content() == "2 of 8 rows shown."
    page.fill("input[type=search]", "clora -rank=16")
    assert _names(page) == ["clora"]
    page.fill("input[type=search]", "diverged")
    assert _names(page) == ["ewc"]
    page.fill("input[type=search]", "no such")
    assert _names(page) == []
    page.fill("input[type=search]", "")
    assert len(_names(page)) == 8


def test_columns_are_chosen_by_group_and_one_by_one(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    heads = page.locator("#board thead th[data-key]:visible")
    cells = page.locator("#board tbody tr:first-child > :visible:is(td, th)")
    assert heads.count() == cells.count() == 19
    page.check("input[data-group=parameters]")
    assert heads.count() == cells.count() == 22
    page.click(".chooser summary")
    page.uncheck("input[data-column=parameters_total]")
    assert heads.count() == cells.count() == 21
    over = page.locator("#board th[data-over=parameters]")
    assert over.get_attribute("colspan") == "2"
    assert page.evaluate("document.querySelector('input[data-group=parameters]').indeterminate")
    hidden = address(page, "parameters_total")
    assert reader.open(board[1], hidden).locator("#board thead th[data-key]:visible").count() == 21


def test_the_heads_of_a_table_stay_in_sight(board: tuple[Board, Path], browser: Any) -> None:
    with visit(browser, viewport={"width": 700, "height": 380}) as reader:
        page = reader.open(board[1])
        head, name = (
            page.locator("#board th[data-key=miou_new_percent]"),
            page.locator("#board tbody th").last,
        )
        page.evaluate(
            "() => { const box = document.querySelector('#board').closest('.scroll');"
            " box.scrollIntoView(); box.scrollTo(200, 1e6); }"
        )
        box = page.locator(".scroll:has(#board)").bounding_box()
        assert head.bounding_box()["y"] >= box["y"]
        assert head.bounding_box()["y"] < box["y"] + 90
        assert name.bounding_box()["x"] >= box["x"] - 1


def test_a_long_board_is_laid_out_as_it_is_read(tmp_path: Path, browser: Any) -> None:
    for index in range(122):
        factory.write(make("mib", params={"weight": float(index)}), tmp_path / "r")
    (found,) = quick_build(tmp_path / "r", tmp_path / "site").boards
    path = tmp_path / "site" / "boards" / found.slug / "index.html"
    last = f"tr[id^='{'mib-weight-'}']"
    with visit(browser) as reader:
        page = reader.open(path)
        assert page.locator(f"#board {last}").count() == 40
        page.evaluate("document.querySelector('#board').closest('.scroll').scrollTo(0, 1e6)")
        page.wait_for_function("() => document.querySelectorAll('#board tbody tr').length > 40")
        page.fill("input[type=search]", "weight=121.0")
        assert _names(page) == ["mib:weight=121.0"]
        anchor = page.eval_on_selector("#board tbody tr", "row => row.id")
        reader.open(path, f"#{anchor}")
        assert page.locator(f"#{anchor}").is_visible()
    with visit(browser, java_script_enabled=False) as reader:
        assert reader.open(path).locator(f"#board {last}").count() == 122
