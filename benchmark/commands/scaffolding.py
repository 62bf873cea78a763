"""``new-method``: the files to start from."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.commands.options import FOLDER


@click.command("new-method")
@click.argument("name")
@click.option(
    "--into", type=FOLDER, default=Path(), show_default="here", help="The project, or an empty folder."
)
def new_method(name: str, into: Path) -> None:
    """Write an adapter called NAME, its test and its page of evidence. They pass the check as they stand."""
    from benchmark.scaffold import new_method as write

    written = write(name, into)
    click.echo("\n".join(map(str, written)))
    click.echo(f"Next: cssbench check {written.adapter}")


COMMANDS = (new_method,)
