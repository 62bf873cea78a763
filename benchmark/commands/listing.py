"""``list``: what there is."""

from __future__ import annotations

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["methods", "protocols", "datasets", "models"]))
def list_command(kind: str) -> None:
    """List methods, protocols, datasets or models."""
    from benchmark.listing import LISTS

    for line in LISTS[kind]():
        click.echo(line)


COMMANDS = (list_command,)
