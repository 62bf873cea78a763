"""The first look: a small grid on rendered scenes, named in ``protocols/grids/demo.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from benchmark.protocols import protocols_folder
from benchmark.recording import RunSpec
from benchmark.sweep import Entry, Grid, sweep


def run_demo(results: Path, echo: Callable[[str], object]) -> bool:
    """Run the grid, what is recorded already apart; return whether a run failed."""
    content = tomllib.loads((protocols_folder() / "grids" / "demo.toml").read_text(encoding="utf-8"))
    grid = Grid(**content)

    def tell(entry: Entry) -> None:
        if entry.decision != "does not apply":
            echo(f"{entry.spec.method} on {entry.spec.protocol}: {entry.status}")

    entries = sweep(grid, RunSpec(grid.methods[0], grid.protocols[0], results=results), on_entry=tell)
    return any(entry.status not in ("ok", None) for entry in entries)
