"""Generated records as a site, and a browser that may open its files and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import reports.draw
from reports import BuildSummary
from reports.draw import Drawing

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield Debian's Chromium under Playwright; skip without either, or fail where CI asks for them."""
    playwright = _playwright()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def _playwright() -> Any:
    missing = "no Chromium on this machine" if BROWSER is None else None
    try:
        from playwright import sync_api
    except ImportError:
        missing, sync_api = "the package playwright is not installed", None
    if missing:
        say = pytest.fail if os.environ.get("CSSBENCH_REQUIRE_BROWSER") == "1" else pytest.skip
        say(missing)
    return sync_api


@dataclass
class Visit:
    """A page, with all that its console said and every address beyond the file system it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: Path, fragment: str = "") -> Any:
        self.page.goto("about:blank")
        self.page.goto(path.as_uri() + fragment)
        return self.page


@contextmanager
def visit(browser: Any, **options: Any) -> Iterator[Visit]:
    """Yield a page; at its end the console must have said nothing and nothing but files been asked for."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
    found = Visit(context.new_page())
    found.page.set_default_timeout(8000)
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("dialog", lambda dialog: (found.complaints.append("a dialog"), dialog.dismiss()))
    context.route(lambda url: not url.startswith(("file:", "about:")), lambda route: _refuse(route, found))
    yield found
    context.close()
    assert found.complaints == []
    assert found.requests == []


def _refuse(route: Any, found: Visit) -> None:
    found.requests.append(route.request.url)
    route.abort()


def quick_build(results: Path, out: Path) -> BuildSummary:
    """Build a site with blank figures: drawing them is tested elsewhere and takes most of the time."""
    blank = Drawing(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"/>', b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.draw, "draw", lambda spec: blank)
        return reports.build(results, out, processes=1)


def set_exponent(page: Any, exponent: str, value: float) -> None:
    """Move a slider of NetScore as a reader would, to any value."""
    page.eval_on_selector(
        f"[data-netscore={exponent}]",
        "(slider, value) => { slider.step = 'any'; slider.value = value;"
        " slider.dispatchEvent(new Event('input')); }",
        value,
    )


def address(page: Any, part: str) -> str:
    """Return the address after "#" once it holds ``part``: it follows what a reader does after a moment."""
    page.wait_for_function("part => location.hash.includes(part)", arg=part)
    return str(page.evaluate("location.hash"))
