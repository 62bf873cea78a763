"""``submit`` and ``validate``: the way of records onto the leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.commands.options import DEVICES, FOLDER

if TYPE_CHECKING:
    from benchmark.submit import Submitted

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("method")
@click.option("--protocol", "protocols", multiple=True, required=True, help="Repeat for more.")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0), default=(0, 1, 2), show_default=True
)
@click.option("--out", type=FOLDER, show_default="runs/submission/VARIANT", help="The bundle's folder.")
@click.option("--results", type=FOLDER, default=Path("results"), show_default=True, help="Where records go.")
@click.option("--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets.")
@click.option("--device", type=DEVICES, default="auto", show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Loader processes.")
@click.option(
    "--reference", is_flag=True, help="Run the reference method as well, for times on new hardware."
)
def submit(**asked: Any) -> None:
    """Check METHOD (a name or a path, NAME:key=value,…), run its missing seeds, validate and bundle them."""
    from benchmark.commands.running import entry_line
    from benchmark.submit import Heard, Submission
    from benchmark.submit import submit as submit_method

    heard = Heard(
        checked=lambda report: click.echo("\n".join(report.lines())),
        entry=lambda entry: click.echo(entry_line(entry)),
        validated=lambda report: click.echo("\n".join(report.lines())),
    )
    done = submit_method(Submission(**asked), heard)
    click.echo("\n".join(_next(done)))
    sys.exit(0 if done.bundle else 1)


def _next(done: Submitted) -> list[str]:
    """Say what there is to do now."""
    bundle = done.bundle
    if bundle is None:
        broken = "the check" if done.validated is None else "validation"
        return [f"Not bundled: {broken} found what is named above."]
    first = "" if bundle.known else "the adapter, its test and its evidence come first, in one of their own: "
    return [
        f"{bundle.folder}: {bundle.records} records, ready for a pull request.",
        f"Next: answer what is open in {bundle.folder / 'SUBMISSION.md'},",
        f"then copy {bundle.folder / 'records'} into results/ and open a pull request with nothing else",
        f"({first}CONTRIBUTING.md, step 5).",
    ]


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


COMMANDS = (submit, validate)
