"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
DEVICES = click.Choice(["auto", "cpu", "cuda"])
SPLITS = click.Choice(["test", "validation"])


def where(command: Any) -> Any:
    """Add the options that say where data, results and the device are."""
    options = [
        click.option(
            "--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets."
        ),
        click.option(
            "--results", type=FOLDER, default=Path("results"), show_default=True, help="Where records go."
        ),
        click.option("--device", type=DEVICES, default="auto", show_default=True),
        click.option("--split", type=SPLITS, default="test", show_default=True, help="What is scored."),
        click.option(
            "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Loader processes."
        ),
        click.option("--tensorboard", type=FOLDER, help="Also write loss terms there (extra 'tensorboard')."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
