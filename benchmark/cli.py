"""The command ``cssbench``: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark import __version__
from benchmark.errors import BenchError

if TYPE_CHECKING:
    from benchmark.recording import RunSpec

FOLDER = click.Path(path_type=Path, file_okay=False)
DEVICES = click.Choice(["auto", "cpu", "cuda"])
SPLITS = click.Choice(["test", "validation"])


class _Group(click.Group):
    """Turns the errors a user can cause into one sentence on standard error and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BenchError as error:
            click.echo(f"cssbench: {error}", err=True)
            context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cssbench")
def main() -> None:
    """Benchmark continual semantic segmentation methods: accuracy, forgetting and cost."""
    # Raised inside of torch and timm, about their own code: nothing a user could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.|timm\.")


def _where(command: Any) -> Any:
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


@main.command()
@click.option("--results", type=FOLDER, default=Path("runs/demo"), show_default=True)
@click.option("--out", type=FOLDER, default=Path("runs/demo/site"), show_default=True)
def demo(results: Path, out: Path) -> None:
    """Train five methods on rendered scenes (a few minutes on a CPU) and build the page."""
    from benchmark.demo import run_demo

    _report(results, out, sweep_failed=run_demo(results, echo=click.echo))


@main.command("list")
@click.argument("kind", type=click.Choice(["methods", "protocols", "datasets", "models"]))
def list_command(kind: str) -> None:
    """List methods, protocols, datasets or models."""
    from benchmark.listing import LISTS

    for line in LISTS[kind]():
        click.echo(line)


@main.command()
@click.option("--method", required=True, help="NAME, NAME:key=value,… or a path to a .py file.")
@click.option("--protocol", required=True, help="An id of 'list protocols', or file.toml:scenario-setting.")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A hyper-parameter; repeat for more."
)
@_where
def run(
    method: str, protocol: str, model: str | None, seed: int, pairs: tuple[str, ...], **where: Any
) -> None:
    """Run one method on one protocol with one seed, and write its record."""
    from benchmark.finding import split_pairs
    from benchmark.recording import RunSpec
    from benchmark.run import execute, resolve

    params = split_pairs(list(pairs), where=f"method {method!r}")
    outcome = execute(resolve(RunSpec(method, protocol, model, seed, params, **where)))
    record = outcome.record
    click.echo(f"{record.variant} on {record.protocol}, {record.model}, seed {seed}: {record.status}")
    if record.error:
        click.echo(record.error, err=True)
    click.echo(str(outcome.path))
    sys.exit(0 if record.status == "ok" else 1)


@main.command()
@click.option("--method", "methods", multiple=True, required=True, help="Repeat for more.")
@click.option("--protocol", "protocols", multiple=True, required=True, help="Repeat for more.")
@click.option("--model", "models", multiple=True, help="Repeat for more.")
@click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0), default=(0,), help="Repeat for more."
)
@click.option("--retry", is_flag=True, help="Run again what is recorded as failed.")
@_where
def sweep(
    methods: tuple[str, ...],
    protocols: tuple[str, ...],
    models: tuple[str, ...],
    seeds: tuple[int, ...],
    retry: bool,
    **where: Any,
) -> None:
    """Run every combination of methods, protocols, models and seeds that is not recorded yet."""
    from benchmark.recording import RunSpec
    from benchmark.sweep import Grid
    from benchmark.sweep import sweep as run_grid

    grid = Grid(methods, protocols, models or (None,), seeds)
    template = RunSpec(methods[0], protocols[0], **where)
    entries = run_grid(grid, template, retry, on_entry=lambda entry: click.echo(_line(entry)))
    sys.exit(0 if all(entry.status in ("ok", None) for entry in entries) else 1)


def _line(entry: Any) -> str:
    spec: RunSpec = entry.spec
    what = f"{spec.method} · {spec.protocol} · {spec.model or 'default model'} · seed {spec.seed}"
    outcome = f"{entry.decision}: {entry.status}" if entry.status else entry.decision
    return f"{what} — {outcome}" + (f" ({entry.reason})" if entry.reason else "")


@main.command()
@click.argument("method")
def check(method: str) -> None:
    """Check on a toy protocol that METHOD (a name or a path, NAME:key=value,…) keeps the rules."""
    from benchmark.check import check as check_method

    found = check_method(method)
    click.echo("\n".join(found.lines()))
    sys.exit(0 if found.passed else 1)


@main.command()
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
