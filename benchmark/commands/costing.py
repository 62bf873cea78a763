"""``estimate``: what a run will cost, before there is hardware or data for it."""

from __future__ import annotations

import json

import click

from benchmark.commands.options import Bytes


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


COMMANDS = (estimate,)
