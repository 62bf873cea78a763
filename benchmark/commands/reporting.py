"""``report`` and ``demo``: from records to the page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.commands.options import FOLDER


@click.command()
@click.option("--results", type=FOLDER, default=Path("runs/demo"), show_default=True)
@click.option("--out", type=FOLDER, default=Path("runs/demo/site"), show_default=True)
def demo(results: Path, out: Path) -> None:
    """Train five methods on rendered scenes (a few minutes on a CPU) and build the page."""
    from benchmark.demo import run_demo

    _report(results, out, sweep_failed=run_demo(results, echo=click.echo))


@click.command()
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True)
@click.option("--out", type=FOLDER, default=Path("reports/site"), show_default=True)
def report(results: Path, out: Path) -> None:
    """Turn records into the leaderboard: a static site that opens from the file system."""
    _report(results, out)


def _report(results: Path, out: Path, sweep_failed: bool = False) -> None:
    from reports import build
    from reports.text import tables

    summary = build(results, out)
    click.echo(tables(results))
    for left in summary.left_out:
        click.echo(f"left out: {left}", err=True)
    click.echo(str((out / "index.html").resolve()))
    sys.exit(1 if sweep_failed else 0)


COMMANDS = (demo, report)
