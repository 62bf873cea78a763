"""The pages in a real browser: the script runs from a file, and the policy stops any other script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import record_factory as factory

from reports import build

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


def _dom(page: Path, profile: Path) -> str:
    """Return the page as the browser has it once its scripts ran."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    command = [
        str(BROWSER),
        *flags,
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr or "Content Security Policy" in done.stderr, done.stderr
    return done.stdout


def test_the_board_works_from_the_file_system_and_runs_no_other_script(tmp_path: Path) -> None:
    for method in ("mib", "fine_tune"):
        factory.write(
            factory.make(method, variant=f"{method}:x=<script>document.title='owned'</script>"),
            tmp_path / "r",
        )
    (board,) = build(tmp_path / "r", tmp_path / "site").boards
    page = tmp_path / "site" / "boards" / board.slug / "index.html"
    dom = _dom(page, tmp_path / "profile")
    assert (
        '<th scope="col" rowspan="2" class="rank" data-better="lower" data-sorted="" aria-sort="ascending">'
        in dom
    )
    assert dom.count('<button type="button">') > 30
    assert '<div class="controls" data-for="board">' in dom  # shown by the script: it was hidden
    assert "hide-memory" in dom
    assert "<title>owned" not in dom
    attack = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    injected = page.read_text().replace("<h1>", f"{attack}<h1>")
    page.write_text(injected)
    assert "<title>owned" not in _dom(page, tmp_path / "profile")
    page.write_text(injected.replace("Content-Security-Policy", "no-policy"))
    assert "<title>owned" in _dom(page, tmp_path / "profile")  # so it was the policy that stopped it
