"""``compare``: two variants or runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.commands.options import FOLDER


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--board", "boards", multiple=True, metavar="PROTOCOL/MODEL", help="Repeat for more; all where left out."
)
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True)
@click.option("--out", type=FOLDER, help="Also write a page, figures and JSON there.")
def compare(first: str, second: str, boards: tuple[str, ...], results: Path, out: Path | None) -> None:
    """Compare FIRST with SECOND: variants on the boards that have both, or record files (.json)."""
    from reports.compare import compare as compare_sides
    from reports.comparetext import render

    found = compare_sides(results, first, second, boards)
    click.echo(render(found))
    if out is not None:
        from reports.comparepage import write

        click.echo(str(write(found, out).resolve()))


COMMANDS = (compare,)
