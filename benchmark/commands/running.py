"""``run`` and ``sweep``: train, score, write records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from benchmark.commands.options import where

if TYPE_CHECKING:
    from benchmark.recording import RunSpec


@click.command()
@click.option("--method", required=True, help="NAME, NAME:key=value,… or a path to a .py file.")
@click.option("--protocol", required=True, help="An id of 'list protocols', or file.toml:scenario-setting.")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A hyper-parameter; repeat for more."
)
@where
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


@click.command()
@click.option("--method", "methods", multiple=True, required=True, help="Repeat for more.")
@click.option("--protocol", "protocols", multiple=True, required=True, help="Repeat for more.")
@click.option("--model", "models", multiple=True, help="Repeat for more.")
@click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0), default=(0,), help="Repeat for more."
)
@click.option("--retry", is_flag=True, help="Run again what is recorded as failed.")
@where
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
    entries = run_grid(grid, template, retry, on_entry=lambda entry: click.echo(entry_line(entry)))
    sys.exit(0 if all(entry.status in ("ok", None) for entry in entries) else 1)


def entry_line(entry: Any) -> str:
    """Return what became of one cell of a grid, on one line."""
    spec: RunSpec = entry.spec
    what = f"{spec.method} · {spec.protocol} · {spec.model or 'default model'} · seed {spec.seed}"
    outcome = f"{entry.decision}: {entry.status}" if entry.status else entry.decision
    return f"{what} — {outcome}" + (f" ({entry.reason})" if entry.reason else "")


COMMANDS = (run, sweep)
