"""How fast a long board answers in a browser: first paint, sorting, filtering, a convention, a slider.

    python benchmarks/browser.py [--rows 500] [--repeats 5]

Records are generated (MSRC-v2's size, two steps, two seeds a row), the site is built, and Chromium opens the
board from the file system. A time is from the reader's act to the layout of what it changed, by the page's
own clock; printed are medians. Wanted: a sort or filter of 500 rows within 100 ms, first paint under 1000 ms.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from reports import build

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import record_factory as factory

TIMED = """([selector, event, value]) => {
  const element = document.querySelector(selector);
  const start = performance.now();
  if (value !== null) element.value = value;
  if (event === "click") element.click(); else element.dispatchEvent(new Event(event));
  document.body.getBoundingClientRect();
  document.querySelector("#board").getBoundingClientRect();
  return performance.now() - start;
}"""


class Act(NamedTuple):
    """Something a reader does: an event on an element, with a value to give it first; ``limit_ms`` wanted."""

    name: str
    selector: str
    event: str
    value: str | None
    limit_ms: float | None


SEARCH = ".controls[data-for=board] input[type=search]"
ACTS = (
    Act("sort by a number", "#board th[data-key=miou_old_percent] button", "click", None, 100),
    Act("sort by name", "#board th[data-key=name] button", "click", None, 100),
    Act("filter by a word", SEARCH, "input", "mib", 100),
    Act("filter lifted", SEARCH, "input", "", 100),
    Act("move NetScore's beta", "[data-netscore=beta]", "input", "0.7", None),
    Act("other axis of the plot", "[data-plot=x]", "change", "train_flops", None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, board() as browser:
        page_path = site(Path(folder), options.rows)
        print(
            f"{options.rows} rows, page {page_path.stat().st_size / 1e6:.2f} MB, medians of {options.repeats}"
        )
        paints = [paint(browser, page_path) for _ in range(options.repeats)]
        show("first paint from disk", statistics.median(paints), 1000)
        page = opened(browser, page_path)
        for act in ACTS:
            times = [
                page.evaluate(TIMED, [act.selector, act.event, act.value]) for _ in range(options.repeats)
            ]
            show(act.name, statistics.median(times), act.limit_ms)
        show("another convention, counts read", convention(page), None)


def site(folder: Path, rows: int) -> Path:
    """Generate records, build the site, and return the path of its board."""
    methods = list(factory.TRAITS)
    for index in range(rows):
        params = {"weight": float(index)} if index >= len(methods) else None
        for seed in range(2):
            record = factory.make(methods[index % len(methods)], factory.MSRC_16_5, seed, params=params)
            factory.write(record, folder / "results")
    (board,) = build(folder / "results", folder / "site").boards
    return folder / "site" / "boards" / board.slug / "index.html"


@contextmanager
def board() -> Iterator[Any]:
    """Yield Debian's Chromium."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("benchmarks/browser.py needs Chromium on the PATH")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, path: Path) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(path.as_uri())
    return page


def paint(browser: Any, path: Path) -> float:
    page = opened(browser, path)
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    first: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.close()
    return first


def convention(page: Any) -> float:
    """Return milliseconds from the choice to the re-scored table, the script of counts read from disk."""
    taken: float = page.evaluate(
        "new Promise(done => { const start = performance.now();"
        " cssbench.live.onChange(() => done(performance.now() - start));"
        " document.querySelector('input[name=future][value=background]').click(); })"
    )
    return taken


def show(name: str, milliseconds: float, limit: float | None) -> None:
    wanted = "" if limit is None else f"   wanted: under {limit:.0f}"
    print(f"{name:32} {milliseconds:7.0f} ms{wanted}")


if __name__ == "__main__":
    main()
