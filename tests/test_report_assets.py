"""What the pages load beside themselves: the vendored script is the one named, with its licence."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import browser_site
import pytest

ASSETS = Path(__file__).parents[1] / "reports" / "assets"
VENDORED = {"chart.umd.min.js": "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2"}
"""From the npm package chart.js 4.6.1, ``dist/``."""


def test_the_vendored_script_is_the_released_file_with_its_licence_and_fits_the_policy() -> None:
    scripts = {path.name: path.read_bytes() for path in (ASSETS / "vendor").glob("*.js")}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in scripts.items()} == VENDORED
    assert b"Chart.js v4.6.1" in scripts["chart.umd.min.js"][:100]
    assert "MIT License" in (ASSETS / "vendor" / "chart.LICENSE.txt").read_text()
    assert not re.search(rb"\beval\(|new Function|createElement\(.style", scripts["chart.umd.min.js"])


def test_own_scripts_build_no_markup_from_text() -> None:
    for path in ASSETS.glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()
        )
        assert not found, f"{path.name}: {found}"


def test_an_installed_package_has_every_asset() -> None:
    project = tomllib.loads((ASSETS.parents[1] / "pyproject.toml").read_text())
    endings = {pattern.removeprefix("*") for pattern in project["tool"]["setuptools"]["package-data"]["*"]}
    assert {path.suffix for path in ASSETS.rglob("*") if path.is_file()} <= endings
    assert "reports/assets/vendor/*.LICENSE.txt" in project["project"]["license-files"]


@pytest.mark.parametrize(("asked", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_a_browser_its_tests_are_skipped_with_a_reason_or_fail_where_they_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(browser_site, "BROWSER", None)
    monkeypatch.setenv("CSSBENCH_REQUIRE_BROWSER", asked)
    missing = "no Chromium on this machine|the package playwright is not installed"
    with pytest.raises(outcome, match=missing), browser_site.chromium():
        pass


def test_ci_asks_for_the_browser_tests() -> None:
    assert "export CSSBENCH_REQUIRE_BROWSER=1" in (ASSETS.parents[1] / ".ci" / "run").read_text()
