"""``report`` and ``demo``: from records to the page."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.commands.options import FOLDER

if TYPE_CHECKING:
    from reports import BuildSummary


@click.command()
@click.option("--results", type=FOLDER, default=Path("runs/demo"), show_default=True)
@click.option("--out", type=FOLDER, default=Path("runs/demo/site"), show_default=True)
def demo(results: Path, out: Path) -> None:
    """Train five methods on rendered scenes (a few minutes on a CPU) and build the page."""
    from benchmark.demo import run_demo

    failed = run_demo(results, echo=click.echo)
    _report(results, out)
    sys.exit(1 if failed else 0)


@click.command()
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True)
@click.option("--out", type=FOLDER, default=Path("reports/site"), show_default=True)
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 where the site is not what would be built."
)
@click.option(
    "--strict", is_flag=True, help="Exit with 1 where anything was left out or has a protocol not known here."
)
@click.option(
    "--pictures", type=FOLDER, help="Show what runs kept there, photographs too: mind their licence."
)
def report(results: Path, out: Path, check: bool, strict: bool, pictures: Path | None) -> None:
    """Turn records into the leaderboard: a static site that opens from the file system."""
    failed = _differs(results, out, strict, pictures) if check else _report(results, out, pictures) and strict
    gc.freeze()  # what there is goes with the process: no need to look for cycles in it first
    sys.exit(1 if failed else 0)


def _report(results: Path, out: Path, pictures: Path | None = None) -> bool:
    """Build the site and print its boards; return whether anything is amiss."""
    from reports import build
    from reports.text import render

    summary = build(results, out, pictures=pictures)
    click.echo(render(summary.boards))
    incomplete = _named(summary)
    click.echo(str(summary.index.resolve()))
    return incomplete


def _differs(results: Path, out: Path, strict: bool, pictures: Path | None) -> bool:
    """Name the files of a site that a build would write or remove; return whether the check failed."""
    from reports import build

    summary = build(results, out, pictures=pictures, dry=True)
    for path in summary.changed:
        click.echo(f"not what would be built: {path}")
    incomplete = _named(summary)
    click.echo(f"{len(summary.changed)} of {summary.files} files in {out} differ from what would be built")
    return bool(summary.changed) or (strict and incomplete)


def _named(summary: BuildSummary) -> bool:
    """Name the records that are not on the page, or of a protocol not known here; return whether any is."""
    for left in summary.left_out:
        click.echo(f"left out: {left}", err=True)
    alike: dict[str, list[str]] = {}
    for shown in summary.foreign:
        alike.setdefault(shown.reason, []).append(shown.path)
    for reason, (path, *others) in alike.items():  # an older version of a protocol may have thousands
        more = f" and {len(others):,} more" if others else ""
        click.echo(f"unknown protocol: {path}{more}: {reason}", err=True)
    return bool(summary.left_out or summary.foreign)


COMMANDS = (demo, report)
