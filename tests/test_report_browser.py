"""The board in a real browser: all a reader can do there, and nothing that a name could do to one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import record_factory as factory
from browser_site import Visit, chromium, visit
from record_factory import MSRC_11_1, SHAPES_4_2, make

import reports.draw
from benchmark.metrics import netscore
from benchmark.record import Record
from reports import build
from reports.boards import Board
from reports.columns import number
from reports.draw import Drawing
from reports.figures import mean_iou
from reports.runs import inputs

pytestmark = pytest.mark.browser
PUBLISHED = Path(__file__).parents[1] / "results" / "published"
METHODS = ("fine_tune", "mib", "sdr", "clora", "plop")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def quick_figures() -> Iterator[None]:
    blank = Drawing(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"/>', b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.draw, "draw", lambda spec: blank)
        yield


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, quick_figures: None) -> tuple[Board, Path]:
    """A board of five methods and two variants with two seeds, one failed row, and its joint bound."""
    results, out = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("site")
    for seed in range(2):
        for method in METHODS:
            factory.write(make(method, seed=seed), results)
        factory.write(make("clora", seed=seed, params={"on": "plop", "rank": 16}), results)
        factory.write(make("fine_tune", SHAPES_4_2.joint_place(), seed), results)
    factory.write(factory.failed("ewc", SHAPES_4_2, "diverged", "loss is not finite", 1), results)
    (found,) = build(results, out).boards
    return found, out / "boards" / found.slug / "index.html"


@pytest.fixture
def reader(browser: Any) -> Iterator[Visit]:
    with visit(browser) as opened:
        yield opened


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
    assert "board.sort=miou_old_percent%2Cascending" in page.url
    again = reader.open(board[1], "#" + page.url.partition("#")[2])  # the address holds the choice
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
    hidden = page.url.partition("#")[2]
    assert reader.open(board[1], f"#{hidden}").locator("#board thead th[data-key]:visible").count() == 21


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
    assert f"x={x}" in page.url
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


HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "javascript:document.title='owned'",
    "'});document.title='owned';//",
    "\u202e\u2028</script><script>document.title='owned'</script>",
)


def test_hostile_names_are_inert(tmp_path: Path, quick_figures: None, browser: Any) -> None:
    for index, text in enumerate(HOSTILE):
        record = make(method=text, params={text: text}, seed=index)
        factory.write_record(
            replace(record, classes=(text, *factory.SHAPES[1:])), tmp_path / "r" / f"{index}.json"
        )
    boards = build(tmp_path / "r", tmp_path / "site").boards
    with visit(browser) as reader:
        for found in boards:
            page = reader.open(tmp_path / "site" / "boards" / found.slug / "index.html")
            page.focus("[data-plot=canvas]")
            page.keyboard.press("End")
            assert "owned" in page.locator("[data-plot=details]").text_content()
            assert page.title() != "owned"
            assert page.locator("img[src=x]").count() == 0
            assert page.evaluate("document.querySelectorAll('script:not([src])').length") == 0
        home = reader.open(tmp_path / "site" / "index.html")
        assert home.title() != "owned"


def test_it_is_the_policy_that_stops_an_injected_script(
    board: tuple[Board, Path], browser: Any, tmp_path: Path
) -> None:
    text = board[1].read_text()
    attack = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    injected = text.replace("<h1>", f"{attack}<h1>")
    context = browser.new_context()
    page = context.new_page()
    for policy, title in (("Content-Security-Policy", False), ("no-policy", True)):
        path = board[1].with_name("attacked.html")
        path.write_text(injected.replace("Content-Security-Policy", policy))
        page.goto(path.as_uri())
        assert (page.title() == "owned") == title
        path.unlink()
    context.close()


def test_a_long_board_is_laid_out_as_it_is_read(tmp_path: Path, quick_figures: None, browser: Any) -> None:
    for index in range(122):
        factory.write(make("mib", params={"weight": float(index)}), tmp_path / "r")
    (found,) = build(tmp_path / "r", tmp_path / "site").boards
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


def _set(page: Any, exponent: str, value: float) -> None:
    page.eval_on_selector(
        f"[data-netscore={exponent}]",
        "(slider, value) => { slider.step = 'any'; slider.value = value;"
        " slider.dispatchEvent(new Event('input')); }",
        value,
    )


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
            _set(page, exponent, value)
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
    assert "gamma=2" in page.url
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
    place: factory.Place, board: tuple[Board, Path], browser: Any, tmp_path: Path, quick_figures: None
) -> None:
    found, path = board
    if place is not SHAPES_4_2:
        for method in ("mib", "fine_tune"):
            factory.write(make(method, place), tmp_path / "r")
        (found,) = build(tmp_path / "r", tmp_path / "site").boards
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


def test_the_tables_filter_holds_for_the_plot(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.fill("input[type=search]", "-fine_tune -clora")
    page.wait_for_function("() => cssbench.plot.points().length < 6")
    assert set(page.evaluate("cssbench.plot.points().map(p => p.row.name)")) == {"mib", "sdr", "plop"}
    again = reader.open(board[1], "#" + page.url.partition("#")[2])
    assert set(again.evaluate("cssbench.plot.points().map(p => p.row.name)")) == {"mib", "sdr", "plop"}


def test_without_scripts_every_number_is_there_and_no_control_is(
    board: tuple[Board, Path], browser: Any
) -> None:
    with visit(browser, java_script_enabled=False) as reader:
        page = reader.open(board[1])
        assert page.locator(".interactive:visible, .controls:visible").count() == 0
        assert page.locator("#board tbody td:visible").count() > 8 * 30
        assert page.locator("#netscore-table tbody td:visible").count() == 7 * 13
        assert page.locator(".heat tbody tr:visible").count() == 9
        assert page.locator(".gallery img:visible").count() > 4


@pytest.mark.parametrize("width", [390, 1440, 2560])
def test_no_page_is_wider_than_its_window(board: tuple[Board, Path], browser: Any, width: int) -> None:
    with visit(browser, viewport={"width": width, "height": 900}, color_scheme="dark") as reader:
        page = reader.open(board[1])
        page.click(".chooser summary")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(15, 19, 23)"


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


def test_paper_gets_tables_and_figures_and_no_controls(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.emulate_media(media="print")
    assert page.locator(".interactive:visible, .controls:visible, canvas:visible, nav:visible").count() == 0
    assert page.locator("#board tbody tr:visible").count() == 8
    assert page.locator("#netscore-table tbody td:visible").count() == 7 * 13  # all three boards
    assert page.locator(".gallery img:visible").count() > 4


def test_rows_do_not_glide_for_a_reader_who_wants_no_motion(board: tuple[Board, Path], browser: Any) -> None:
    moving = "document.getAnimations().filter(a => a.effect.target.tagName === 'TR').length"
    for motion, moves in (("reduce", False), ("no-preference", True)):
        with visit(browser, reduced_motion=motion) as reader:
            page = reader.open(board[1])
            page.evaluate("document.getElementById('netscore').scrollIntoView()")
            page.check("[data-netscore=all]")
            _set(page, "beta", 0)
            _set(page, "alpha", 4)
            count = page.evaluate(
                "() => { const s = document.querySelector('[data-netscore=beta]'); s.value = 2;"
                f" s.dispatchEvent(new Event('input')); return {moving}; }}"
            )
            assert (count > 0) == moves


def test_every_control_has_a_name_and_is_reached_by_keyboard(
    board: tuple[Board, Path], reader: Visit
) -> None:
    page = reader.open(board[1])
    page.click(".chooser summary")
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, select, button, canvas')].filter(e => e.checkVisibility())"
        ".filter(e => !(e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title))"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.locator("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0
    page.focus("[data-netscore=alpha]")
    before = page.locator("[data-netscore=f-score]").text_content()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-netscore=f-score]").text_content() != before
    assert page.locator("[data-live=netscore-table]").text_content().startswith("First by train:")


def test_boards_of_every_kind_open_in_silence(tmp_path: Path, quick_figures: None, browser: Any) -> None:
    """Failed rows alone, one row alone, two kinds of hardware, no joint run, no background, many steps."""
    places = {name: replace(SHAPES_4_2, protocol=f"shapes-{name}-overlapped") for name in ("failed", "one")}
    factory.write(factory.failed("ewc", places["failed"], "oom", "out of memory", 0), tmp_path / "r")
    factory.write(make("mib", places["one"]), tmp_path / "r")
    for method, environment in (
        ("fine_tune", factory.H100),
        ("fine_tune", factory.A100),
        ("mib", factory.A100),
    ):
        factory.write(make(method, factory.VOC_15_1, environment=environment), tmp_path / "r")
    factory.write(make("plop", MSRC_11_1), tmp_path / "r")
    shutil.copytree(PUBLISHED, tmp_path / "r" / "published")
    boards = build(tmp_path / "r", tmp_path / "site").boards
    assert len(boards) == 4
    with visit(browser) as reader:
        for found in boards:
            page = reader.open(tmp_path / "site" / "boards" / found.slug / "index.html", "#future=background")
            if not any(row.ok for row in found.rows):
                continue
            page.wait_for_selector("body.other-convention")
            page.select_option("[data-classes=order]", "rising")
            page.wait_for_function(
                "() => document.querySelector('[data-classes=says]').textContent.includes('mean')"
            )
            _set(page, "alpha", 3)
            drawn = page.evaluate("cssbench.plot.points().length")
            assert drawn == sum(row.ok for row in found.rows)
            papers = page.evaluate("cssbench.plotLayers.papers('miou_all_percent').map(p => p.convention)")
            assert set(papers) == ({"with"} if found.first.dataset == "voc" else set())
        for name in ("index.html", "methods/index.html", "reading.html"):
            reader.open(tmp_path / "site" / name)
