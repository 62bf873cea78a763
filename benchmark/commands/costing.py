"""``estimate`` and ``profile``: what a run will cost, and where the time of an iteration goes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from benchmark.collector import few_collections
from benchmark.commands.options import DEVICES, FOLDER, Bytes


@click.command()
@click.option("--method", "methods", multiple=True, help="NAME, NAME:key=value,… or a path. Repeat for more.")
@click.option("--all-methods", is_flag=True, help="Compare all methods, and useful combinations of them.")
@click.option("--protocol", required=True, help="An id of 'list protocols', or file.toml:scenario-setting.")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option("--batch", type=int, help="Images in a batch; the preset's where left out.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="The preset's where left out.")
@click.option("--fit", type=Bytes(), help="Also find the largest batch that fits, as in 8GiB.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@few_collections()
def estimate(
    methods: tuple[str, ...],
    all_methods: bool,
    protocol: str,
    model: str | None,
    batch: int | None,
    precision: str | None,
    fit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Forecast parameters, compute and memory of training, without weights, data or a GPU."""
    if bool(methods) == all_methods:
        raise click.UsageError("name methods with --method, or ask for --all-methods")
    import torch
    from tqdm import tqdm

    from benchmark.comparing import Asked, Comparison, compare, every_variant
    from benchmark.estimate_text import report
    from benchmark.finding import find_method
    from benchmark.protocols import load_protocol

    asked = Asked(
        load_protocol(protocol, model), batch, precision, fit, torch.device(device), ends_only=all_methods
    )
    if all_methods:
        found = compare(tqdm(every_variant(), unit="method", leave=False, disable=None), asked)
    else:
        found = Comparison(tuple(asked.estimate(find_method(spec)) for spec in methods), ())
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else report(found, in_full=not all_methods))


@click.command()
@click.option("--method", required=True, help="NAME, NAME:key=value,… or a path to a .py file.")
@click.option("--protocol", required=True, help="An id of 'list protocols', or file.toml:scenario-setting.")
@click.option("--model", help="A preset of 'list models', or a path to a .toml file.")
@click.option("--step", type=click.IntRange(min=0), help="The second where left out.")
@click.option("--iterations", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets.")
@click.option("--device", type=DEVICES, default="auto", show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Loader processes.")
@click.option("--out", type=FOLDER, default=Path("runs/profile"), show_default=True)
def profile(
    method: str, protocol: str, model: str | None, step: int | None, iterations: int, out: Path, **where: Any
) -> None:
    """Show where the time of an iteration goes, by part and operator: table, trace, picture."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: the profiler's own remarks on a CPU
    from benchmark.profile_text import draw_profile, profile_tables
    from benchmark.profiling import profile_run
    from benchmark.recording import RunSpec
    from benchmark.run import resolve

    run = resolve(RunSpec(method, protocol, model, **where))
    found = profile_run(run, iterations, out / "trace.json", step)
    (out / "profile.json").write_text(json.dumps(found.to_json(), indent=1))
    draw_profile(found, out / "profile.png")
    click.echo(profile_tables(found))
    for name, what in _FILES.items():
        click.echo(f"{what}: {out / name}")


_FILES = {
    "trace.json": "trace, for chrome://tracing or ui.perfetto.dev",
    "profile.png": "picture",
    "profile.json": "numbers",
}

COMMANDS = (estimate, profile)
