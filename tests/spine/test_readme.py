"""The README's example of a method, run as a reader would run it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
