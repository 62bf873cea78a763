"""Every method there is, CLoRA's combinations and the README's example keep the rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.check import RULES, check
from benchmark.finding import method_files

README = Path(__file__).parents[2] / "README.md"
COMBINATIONS = (
    *(f"clora:on={name}" for name in ("fine_tune", "ilt", "sdr", "plop")),
    "clora:base=lora,rank=8,reinit=true",
    "sdr:on=plop",
    "ilt:encoder=freeze,scheme=output+decoder",
)


@pytest.mark.parametrize("spec", [*method_files(), *COMBINATIONS])
def test_a_method_keeps_every_rule(spec: str) -> None:
    report = check(spec)
    assert [v for v in report.verdicts if v.status != "pass"] == []
    assert len(report.verdicts) == len(RULES)


def test_the_example_for_new_users_keeps_every_rule(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "anchor.py"
    path.write_text(source)
    report = check(f"{path}:weight=5")
    assert [v for v in report.verdicts if v.status != "pass"] == []
    assert report.variant == "anchor:weight=5"
