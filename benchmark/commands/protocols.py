"""``protocol``: what a protocol says, and whether a file of them is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from benchmark.commands.options import FOLDER, SPLITS


@click.group()
def protocol() -> None:
    """Show a protocol, or validate a file of one's own."""


@protocol.command()
@click.argument("name", metavar="ID")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option("--split", type=SPLITS, default="test", show_default=True, help="What is scored.")
@click.option("--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets.")
def show(name: str, model: str | None, split: Any, data_root: Path | None) -> None:
    """Print all that ID (or file.toml:scenario-setting) fixes, and its digest.

    Where the data are found, images and pixels by step and class too, beside the published numbers.
    """
    from benchmark.data.dataset import open_dataset
    from benchmark.errors import DataError
    from benchmark.protocol_text import definition, steps
    from benchmark.protocols import load_protocol

    resolved = load_protocol(name, model, split)
    click.echo("\n".join(definition(resolved)))
    try:
        dataset = open_dataset(resolved.dataset, data_root)
    except DataError as error:
        click.echo("\n".join(steps(resolved)))
        if data_root is not None:
            raise
        click.echo(f"\nimages and pixels are not counted: {error}")
        return
    from benchmark.data.census import take_census
    from benchmark.data.scenario import plan_steps

    plan = plan_steps(resolved, dataset)
    click.echo("\n".join(steps(resolved, take_census(resolved, plan))))
    click.echo(
        f"\ndata: {dataset.location}; {len(plan.train):,} images to train on, {len(plan.test):,} scored"
    )


@protocol.command()
@click.argument("file", type=click.Path(path_type=Path))
def validate(file: Path) -> None:
    """Print a line for each thing that is wrong with the protocols in FILE; exit with 1 if any is."""
    from benchmark.protocols import load_family
    from benchmark.validation import findings

    found = findings(file)
    for finding in found:
        click.echo(finding)
    if found:
        sys.exit(1)
    click.echo(f"{file}: {len(load_family(file).ids())} protocols, nothing wrong")


COMMANDS = (protocol,)
