"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
DEVICES = click.Choice(["auto", "cpu", "cuda"])
SPLITS = click.Choice(["test", "validation"])


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    prefix: 2 ** (10 * power) for power, prefix in enumerate(["Ki", "Mi", "Gi", "Ti"], start=1)
}


class Bytes(click.ParamType):
    """An amount of memory: a number and a unit, as in ``4GiB``, ``500 MB`` or ``0``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(|k|[KMGT]i|[MGT])B?", str(value))
        if found is None:
            self.fail(f"{value!r} is no size; expected a number and a unit, as in 4GiB or 500MB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


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
        click.option(
            "--cache",
            "cache_bytes",
            type=Bytes(),
            default="1GiB",
            show_default=True,
            help="How much of the decoded images is kept; 0 keeps none.",
        ),
        click.option("--cache-dir", type=FOLDER, help="Keep them there, for later runs, not in memory."),
        click.option(
            "--pictures", type=FOLDER, help="Keep a few test images and what is predicted for them."
        ),
        click.option("--tensorboard", type=FOLDER, help="Also write loss terms there (extra 'tensorboard')."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
