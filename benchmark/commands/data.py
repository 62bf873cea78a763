"""``data``: are the data there, whole and the published ones, and what is in them?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from benchmark.commands.options import FOLDER, SPLITS

_ROOT = click.option(
    "--data-root", type=FOLDER, envvar="CSSBENCH_DATA", help="Folder that holds the data sets."
)
_SPLIT = click.option("--split", type=SPLITS, default="test", show_default=True, help="What is scored.")


@click.group()
def data() -> None:
    """Check, count, show and download data sets."""


@data.command()
@click.argument("names", nargs=-1, metavar="[PROTOCOL or DATASET]...")
@_ROOT
def check(names: tuple[str, ...], data_root: Path | None) -> None:
    """Tell whether data sets are found, whole and the published ones; all where none is named."""
    from benchmark.data.inspection import inspect
    from benchmark.data.targets import targets

    whole = True
    for target in targets(names):
        with _bar(f"reading {target.dataset}", "images") as on_image:
            found = inspect(target, data_root, on_image)
        click.echo("\n".join(found.lines()))
        whole &= found.whole or (found.missing and not target.named)
    sys.exit(0 if whole else 1)


@data.command()
@click.argument("protocol")
@_ROOT
@_SPLIT
def stats(protocol: str, data_root: Path | None, split: str) -> None:
    """Print images and pixels of PROTOCOL by class and step."""
    from benchmark.data.counts import count_protocol
    from benchmark.data.dataset import open_dataset
    from benchmark.data.stats import stats_lines
    from benchmark.protocols import load_protocol

    resolved = load_protocol(protocol, split=split)  # type: ignore[arg-type]
    with _bar(f"counting {resolved.dataset}", "label maps") as on_image:
        counts = count_protocol(resolved, open_dataset(resolved.dataset, data_root), on_image)
    click.echo("\n".join(stats_lines(counts)))


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="PROTOCOL or DATASET...")
@_ROOT
def index(names: tuple[str, ...], data_root: Path | None) -> None:
    """Count the pixels of every label map now, so that runs need not wait for it."""
    from benchmark.data.dataset import open_dataset
    from benchmark.data.index import pixel_counts
    from benchmark.data.targets import targets

    for target in targets(names):
        dataset = open_dataset(target.dataset, data_root)
        trained = {protocol.splits.train for protocol in target.protocols}
        for parts in sorted(trained | {(protocol.splits.test,) for protocol in target.protocols}):
            split = dataset.split(*parts)
            with _bar(f"{target.dataset} {split.name}", "label maps", len(split)) as on_image:
                counts = pixel_counts(split, on_image=on_image)
            click.echo(f"{target.dataset} {split.name}: {len(split):,} label maps, {counts.sum():,} pixels")


@data.command()
@click.argument("protocol")
@click.option("--step", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--images", type=click.IntRange(1, 20), default=4, show_default=True, help="At most so many.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .png file.")
@_ROOT
def sample(protocol: str, step: int, images: int, out: Path, data_root: Path | None) -> None:
    """Draw images of a step of PROTOCOL with the labels that each of the three settings shows."""
    from benchmark.data.dataset import open_dataset
    from benchmark.data.picture import draw_sample
    from benchmark.protocols import load_protocol

    resolved = load_protocol(protocol)
    draw_sample(resolved, open_dataset(resolved.dataset, data_root), step, images, out)
    click.echo(str(out.resolve()))


@data.command()
@click.argument("dataset")
@click.option(
    "--data-root", type=FOLDER, envvar="CSSBENCH_DATA", required=True, help="Folder to put the data into."
)
def download(dataset: str, data_root: Path) -> None:
    """Download DATASET, going on where it stopped, or say how to get it where one must log in."""
    from tqdm import tqdm

    from benchmark.data.download import download as get

    with tqdm(desc=dataset, unit="B", unit_scale=True, file=sys.stderr, delay=1, leave=False) as bar:

        def on_bytes(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        for folder in get(dataset, data_root, on_bytes):
            click.echo(str(folder))
    click.echo(f"cssbench data check {dataset} tells whether all is there.")


@contextmanager
def _bar(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[], object]]:
    """Show a progress bar on standard error once a second has passed, and yield what moves it."""
    from tqdm import tqdm

    with tqdm(
        desc=what, unit=f" {unit}", total=total, file=sys.stderr, delay=1, leave=False, mininterval=0.5
    ) as bar:
        yield bar.update


COMMANDS = (data,)
