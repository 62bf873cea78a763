"""Pages in a browser: hostile names, no scripts, every size, paper, every kind of board."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory
from browser_site import Visit, quick_build, set_exponent, visit
from record_factory import MSRC_11_1, SHAPES_4_2, make

from reports.boards import Board
from reports.view import row_id

pytestmark = pytest.mark.browser

PUBLISHED = Path(__file__).parents[2] / "results" / "published"


HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "javascript:document.title='owned'",
    "'});document.title='owned';//",
    "\u202e\u2028</script><script>document.title='owned'</script>",
)


def test_hostile_names_are_inert(tmp_path: Path, browser: Any) -> None:
    for index, text in enumerate(HOSTILE):
        record = make(method=text, params={text: text}, seed=index)
        factory.write_record(
            replace(record, classes=(text, *factory.SHAPES[1:])), tmp_path / "r" / f"{index}.json"
        )
    boards = quick_build(tmp_path / "r", tmp_path / "site").boards
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


@pytest.mark.parametrize("width", [390, 1440])
def test_a_number_leads_to_its_runs_on_a_page_no_wider_than_its_window(
    board: tuple[Board, Path], browser: Any, width: int
) -> None:
    row = next(row for row in board[0].rows if len(row.runs) > 1)
    with visit(browser, viewport={"width": width, "height": 900}) as reader:
        page = reader.open(board[1])
        page.locator(f"#board tr[id='{row_id(row, board[0])}'] td[data-v] a").first.click()
        page.wait_for_load_state("load")  # its styles, too
        assert page.url.endswith(f"{row.runs[0].run.page.rpartition('/')[2]}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for measured in row.runs:
            line = page.locator(f"tr[id='{measured.run.slug}']")
            assert f"{measured.measures['miou_all_percent']:.1f}" in line.locator("td").all_text_contents()
            record = line.locator("a[download]").get_attribute("href")
            assert json.loads((board[1].parent / record).read_text())["seed"] == measured.run.record.seed
        runs = page.locator("table.heat thead th[scope=colgroup]").all_text_contents()
        assert runs == [f"mean of {len(row.runs)} seeds", *(f"seed {m.run.record.seed}" for m in row.runs)]


def test_paper_gets_tables_and_figures_and_no_controls(board: tuple[Board, Path], reader: Visit) -> None:
    page = reader.open(board[1])
    page.emulate_media(media="print")
    assert page.locator(".interactive:visible, .controls:visible, canvas:visible, nav:visible").count() == 0
    assert page.locator("#board tbody tr:visible").count() == 8
    assert page.locator("#netscore-table tbody td:visible").count() == 7 * 13  # all three boards
    assert page.locator(".gallery img:visible").count() > 4


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


def test_boards_of_every_kind_open_in_silence(tmp_path: Path, browser: Any) -> None:
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
    boards = quick_build(tmp_path / "r", tmp_path / "site").boards
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
            set_exponent(page, "alpha", 3)
            drawn = page.evaluate("cssbench.plot.points().length")
            assert drawn == sum(row.ok for row in found.rows)
            papers = page.evaluate("cssbench.plotLayers.papers('miou_all_percent').map(p => p.convention)")
            assert set(papers) == ({"with"} if found.first.dataset == "voc" else set())
        for name in ("index.html", "methods/index.html", "reading.html"):
            reader.open(tmp_path / "site" / name)
