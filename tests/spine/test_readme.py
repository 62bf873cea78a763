"""The README's example of a method, run as a reader would run it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.comparing import Asked, compare, every_variant
from benchmark.estimate_text import report
from benchmark.protocols import load_protocol

README = Path(__file__).parents[2] / "README.md"


def test_the_example_is_short_and_runs(run_tiny: Callable[..., Any], tmp_path: Path) -> None:
    (source,) = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(source.splitlines()) < 25
    (tmp_path / "anchor.py").write_text(source)
    record = run_tiny(f"{tmp_path / 'anchor.py'}:weight=5").record
    assert (record.status, record.error, record.variant) == ("ok", None, "anchor:weight=5")
    assert [sorted(step.losses) for step in record.steps] == [
        ["cross_entropy"],
        *[["cross_entropy", "pull"]] * 2,
    ]
    assert all(value > 0 for step in record.steps[1:] for value in step.losses["pull"] if value is not None)


def test_the_table_of_costs_is_what_the_command_prints() -> None:
    """All names, and the row of the one that differs most; the others take a minute."""
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```text\n(\d+ methods on .*?)^```", text, re.MULTILINE | re.DOTALL)
    title, head, *rows = block.splitlines()[: 2 + len(every_variant())]
    assert [row.split()[0] for row in rows] == every_variant()
    asked = Asked(load_protocol("voc-15-1-overlapped", "vit-large"), ends_only=True)
    printed = report(compare(["clora:on=fine_tune"], asked), in_full=False).splitlines()
    assert title.removeprefix(f"{len(rows)} ") == printed[0].removeprefix("1 ")
    assert head.split() == printed[1].split()
    assert printed[2].split() in [row.split() for row in rows]
