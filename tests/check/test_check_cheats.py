"""Each cheat fails by the rule it breaks and by no other; what comes near and is allowed passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_cheats import CHEATS, HONEST, write

from benchmark.check import Report, check
from benchmark.check.toy import TOYS


def reasons(report: Report) -> dict[str, str]:
    return {verdict.rule: verdict.reason for verdict in report.verdicts if verdict.status == "FAIL"}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_fails_for_the_right_reason(name: str, tmp_path: Path) -> None:
    cheat = CHEATS[name]
    found = reasons(check(str(write(tmp_path, cheat.body, cheat.before)), TOYS[:1]))
    assert tuple(sorted(found)) == cheat.rules
    assert cheat.text in found[cheat.rules[0]]


@pytest.mark.parametrize("name", HONEST)
def test_what_is_allowed_passes(name: str, tmp_path: Path) -> None:
    assert reasons(check(str(write(tmp_path, HONEST[name])), TOYS[:2])) == {}


def test_a_network_that_is_declined_is_no_failure_but_all_of_them_are(tmp_path: Path) -> None:
    path = write(tmp_path, HONEST["declines transformers"])
    report = check(str(path), TOYS[:2])
    assert report.passed
    assert "Not run on VIT, sequential: adapt declined it, toy needs convolutions" in report.lines()
    report = check(str(path), TOYS[1:2])
    assert "VIT, sequential: adapt declined it, toy needs convolutions" in reasons(report)["contract"]
    skipped = {verdict.rule for verdict in report.verdicts if verdict.status == "skipped"}
    assert "restore" in skipped and "documentation" not in skipped
