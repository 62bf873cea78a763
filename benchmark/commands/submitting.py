"""``validate``: the way of records onto the leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.commands.options import FOLDER

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=FOLDER,
    default=Path("results"),
    show_default=True,
    help="Records that are believed: what is compared with.",
)
@click.option("--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets.")
@click.option(
    "--adapter", "adapters", multiple=True, type=FILE, help="File of a method that is not in methods/."
)
@click.option(
    "--protocol", "protocols", multiple=True, help="file.toml:scenario-setting, for one of your own."
)
@click.option("--model", help="Of --protocol: a preset, or a path to a .toml file.")
@click.option(
    "--recount", is_flag=True, help="Count parameters and operations again, from the adapters here."
)
@click.option("--trust-code", is_flag=True, help="With --recount: run adapters that came along, too.")
def validate(
    paths: tuple[Path, ...],
    against: Path,
    data_root: Path | None,
    adapters: tuple[Path, ...],
    protocols: tuple[str, ...],
    model: str | None,
    recount: bool,
    trust_code: bool,
) -> None:
    """Say what is wrong with the records at PATHS (files, folders, bundles): a line a finding, exit code 1.

    Records are read, never executed; an adapter that came along is run with --recount --trust-code alone.
    """
    from benchmark.validate import Asked
    from benchmark.validate import validate as validate_records
    from benchmark.validate.context import own_protocols

    if trust_code and not recount:
        raise click.UsageError("--trust-code says what --recount may run; expected both")
    own = tuple(own_protocols(protocols, model))
    report = validate_records(paths, Asked((against,), adapters, own, data_root, recount, trust_code))
    click.echo("\n".join(report.lines()))
    sys.exit(1 if report.errors else 0)


COMMANDS = (validate,)
