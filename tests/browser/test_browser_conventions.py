"""A board in another convention, and its classes: as a second implementation in plain loops has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import record_factory as factory
from browser_site import Visit, quick_build, visit
from record_factory import MSRC_11_1, SHAPES_4_2, make

from benchmark.metrics import netscore
from benchmark.record import Record
from reports.boards import Board
from reports.columns import number
from reports.figures import mean_iou
from reports.runs import inputs

pytestmark = pytest.mark.browser


class Brute(NamedTuple):
    """Scores of one run, counted pixel by pixel in plain loops."""

    all: float | None
    old: float | None
    new: float | None
    average: float | None
    forgetting: float | None


def _brute_iou(matrix: Sequence[Sequence[int]], label: int, future: str) -> float | None:
    outputs = len(matrix[0])
    hit = wrong = 0
    for truth, row in enumerate(matrix):
        if truth >= outputs and future == "ignored":
            continue
        meant = truth if truth < outputs else 0
        for guess, pixels in enumerate(row):
            if meant == label and guess == label:
                hit += pixels
            elif label in (meant, guess):
                wrong += pixels
    return hit / (hit + wrong) if hit + wrong else None


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _brute(record: Record, background: bool, future: str) -> Brute:
    firsts = [1 + sum(record.step_sizes[:t]) for t in range(len(record.step_sizes) + 1)]
    zero = [0] if record.background and background else []
    known = [
        {c: _brute_iou(step.confusion, c, future) for c in range(firsts[t + 1])}
        for t, step in enumerate(record.steps)
    ]
    means = [_average(known[t][c] for c in [*zero, *range(1, firsts[t + 1])]) for t in range(len(known))]
    lost = [
        max(known[s][c] or 0 for s in range(t, len(known) - 1)) - (known[-1][c] or 0)
        for t in range(len(known) - 1)
        for c in [*(zero if t == 0 else []), *range(firsts[t], firsts[t + 1])]
    ]
    old = [*zero, *range(1, firsts[1])]
    new = range(firsts[1], firsts[-1])
    return Brute(
        means[-1],
        _average(known[-1][c] for c in old),
        _average(known[-1][c] for c in new),
        _average(means),
        _average(lost),
    )


def _choose(page: Any, background: bool, future: str) -> None:
    if not background:
        page.check("input[name=background][value=left-out]")
    elif page.locator("input[name=background][value=left-out]").count():
        page.check("input[name=background][value=counts]")
    page.check(f"input[name=future][value={future}]")
    own = background and future == "ignored"
    page.wait_for_function("own => document.body.classList.contains('other-convention') === !own", arg=own)
    assert page.evaluate("cssbench.live.convention") == {"background": background, "future": future}


@pytest.mark.parametrize("place", [SHAPES_4_2, MSRC_11_1], ids=["background", "none"])
def test_every_convention_is_scored_as_by_hand(
    place: factory.Place, board: tuple[Board, Path], browser: Any, tmp_path: Path
) -> None:
    found, path = board
    if place is not SHAPES_4_2:
        for method in ("mib", "fine_tune"):
            factory.write(make(method, place), tmp_path / "r")
        (found,) = quick_build(tmp_path / "r", tmp_path / "site").boards
        path = tmp_path / "site" / "boards" / found.slug / "index.html"
    choices = [(True, "background"), (True, "ignored")]
    if found.first.background:
        choices = [(False, "ignored"), (False, "background"), *choices]
    with visit(browser) as reader:
        page = reader.open(path)
        original = page.inner_text("#board")
        for background, future in choices:
            _choose(page, background, future)
            values = page.evaluate("Object.fromEntries(cssbench.live.rows.map(r => [r.name, r.values]))")
            for row in (row for row in found.rows if row.ok):
                runs = [_brute(m.run.record, background, future) for m in row.counted]
                for key, name in (
                    ("miou_all_percent", "all"),
                    ("miou_old_percent", "old"),
                    ("miou_new_percent", "new"),
                    ("miou_average_percent", "average"),
                    ("forgetting_points", "forgetting"),
                ):
                    wanted = 100 * sum(getattr(run, name) for run in runs) / len(runs)
                    assert values[row.variant][key][0] == pytest.approx(wanted, abs=1e-8), (row.variant, key)
                    shown = _cell(page, row.variant, key)
                    assert shown.partition("±")[0] == number(wanted, 1)
            assert ("Not this benchmark's" in page.inner_text("[data-conventions=says]")) == (
                (background, future) != (True, "ignored")
            )
        assert page.inner_text("#board") == original  # the benchmark's own numbers are put back as they were


def _cell(page: Any, name: str, key: str) -> str:
    return page.evaluate(
        "([name, key]) => { const table = document.getElementById('board');"
        " const line = [...table.tBodies[0].rows].find(r => r.querySelector('th a').textContent === name);"
        " return line.cells[cssbench.tables.at(table, key)].textContent; }",
        [name, key],
    )


def test_a_convention_moves_the_ranks_of_a_board_and_its_joint_bound(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1], "#background=left-out&future=background")
    page.wait_for_selector("body.other-convention")
    joint = board[0].joint
    assert joint is not None
    bound = _average(_brute(m.run.record, False, "background").all for m in joint.counted)
    row = next(row for row in board[0].rows if row.variant == "mib")
    own = _average(_brute(m.run.record, False, "background").all for m in row.counted)
    matrices = [m.run.record.steps[0].confusion for m in joint.counted]
    for key, classes in (("miou_old_percent", range(1, 5)), ("miou_new_percent", range(5, 9))):
        split = [_average(_brute_iou(matrix, c, "background") for c in classes) or 0 for matrix in matrices]
        printed = number(100 * sum(split) / len(split), 1)
        assert _cell(page, "joint training", key).partition("±")[0] == printed
    assert bound is not None
    assert own is not None
    assert _cell(page, "mib", "forget_score_points").partition("±")[0] == number(100 * (own - bound), 1)
    runs = [
        (100 * (_brute(m.run.record, False, "background").all or 0), inputs(m.run.record, "train"))
        for m in row.counted
    ]
    scores = [netscore(percent, *costs) or 0 for percent, costs in runs]
    assert _cell(page, "mib", "netscore_train").endswith(number(sum(scores) / len(scores), 2))
    assert _cell(page, "mib", "range") == "–"


def test_the_default_convention_from_counts_is_the_benchmarks_own(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1])
    live = page.evaluate(
        "cssbench.scoring.load().then(() => Object.fromEntries(cssbench.live.rows.filter(r => r.seeds)"
        ".map(r => [r.name, cssbench.scoring.rescored(r.index, cssbench.scoring.DEFAULT)])))"
    )
    assert board[0].joint is not None
    rows = {"joint training": board[0].joint} | {row.variant: row for row in board[0].rows if row.ok}
    for name, row in rows.items():
        for key, (mean, std) in live[name]["values"].items():
            assert mean == (None if row.mean(key) is None else pytest.approx(row.mean(key), abs=1e-9)), key
            assert std == (None if mean is None else pytest.approx(row.cells[key].std, abs=1e-9)), key


def test_classes_of_one_row_and_of_the_difference_of_two(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    rows = {row.variant: row for row in board[0].rows if row.ok}
    names = ("background", *board[0].first.classes)
    first = page.locator("[data-classes=body]").inner_text()
    mib, plop = (mean_iou(rows[name], len(names)) for name in ("mib", "plop"))
    page.select_option("[data-classes=one]", label="mib")
    page.wait_for_function(
        "() => document.querySelector('[data-classes=says]').textContent.startsWith('IoU of mib')"
    )
    grid = "lines => lines.map(l => [...l.cells].map(c => c.textContent))"
    shown = page.eval_on_selector_all("[data-classes=body] tr", grid)
    assert [line[0] for line in shown] == list(names)
    assert page.locator("[data-classes=body]").inner_text() != first
    for line, values in zip(shown, mib, strict=True):
        assert line[1:] == ["" if v is None else number(v, 1) for v in values]
    page.select_option("[data-classes=other]", label="plop")
    page.wait_for_function(
        "() => document.querySelector('[data-classes=says]').textContent.includes('minus plop')"
    )
    shown = page.eval_on_selector_all("[data-classes=body] tr", grid)
    for line, one, other in zip(shown, mib, plop, strict=True):
        apart = [None if a is None or b is None else a - b for a, b in zip(one, other, strict=True)]
        printed = ["" if v is None else ("+" if v > 0 else "") + number(v, 1) for v in apart]
        assert line[1:] == printed
    sides = page.eval_on_selector_all(
        "[data-classes=body] td[class]", "cells => cells.map(c => [c.className, c.textContent])"
    )
    assert {kind[:2] for kind, _ in sides if kind} == {"up", "do"}
    assert all((kind[:2] == "up") == text.startswith("+") for kind, text in sides if kind)
    page.select_option("[data-classes=order]", "falling")
    last = [
        float(line[-1].replace("\u2212", "-"))
        for line in page.eval_on_selector_all("[data-classes=body] tr", grid)
    ]
    assert last == sorted(last, reverse=True)
