"""How fast data come: the loader, the label path and the index against other ways of doing the same.

    python benchmarks/data.py [--pairs 200] [--seconds 40] [--labels 10000]

On generated JPEG photographs of 500 x 375 with indexed PNG label maps, two worker processes, crops of 512. It
prints each figure beside its target and exits with 1 where one is missed. Rates are medians of blocks that
alternate between the ways compared, so that a drift of the machine hits both; it should have two free cores.

*Published path* is what published code does for an image, in one process: decode, scale and crop with PIL,
convert to floats, normalise, and map the labels with a Python function, pixel by pixel.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import CROP, HEIGHT, make_data, published_sample
from torch import Tensor

from benchmark.data.dataset import Split, open_dataset
from benchmark.data.index import pixel_counts
from benchmark.data.loader import RawBatch, iterations_per_epoch, train_batches
from benchmark.data.lookup import look_up
from benchmark.data.memory import ArrayCache
from benchmark.preset import ModelPreset
from benchmark.protocol import Augmentation
from benchmark.protocols import load_preset

WORKERS = 2
SCALE = Augmentation(random_scale=(0.5, 2.0), flip=0.5)
NEW = range(16, 21)  # the classes of a last step: what the label map shows of the others is background
TABLE = torch.zeros(256, dtype=torch.int64)
TABLE[list(NEW)], TABLE[255] = torch.arange(1, 6), 255


@dataclass(frozen=True)
class Figure:
    """A measured figure and its target, which is an upper bound where ``most`` says so."""

    what: str
    value: float
    unit: str
    target: float | None = None
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.target is None:
            return True
        return self.value <= self.target if self.most else self.value >= self.target

    def line(self) -> str:
        """Return the figure for a person."""
        bound = (
            ""
            if self.target is None
            else f"at {'most' if self.most else 'least'} {self.target:g} {self.unit}"
        )
        verdict = "" if self.target is None else "ok" if self.met else "MISSED"
        return f"{self.what:<58} {self.value:10.3f} {self.unit:<9} {bound:<22} {verdict}"


def batches(split: Split, workers: int, iterations: int = 10**9) -> Iterator[RawBatch]:
    """Return the loader's training batches; nothing that was decoded is kept."""
    split.dataset.cache = ArrayCache(0)
    return train_batches(
        split, range(len(split)), preset=_preset(), augmentation=SCALE, iterations=iterations, seed=0, step=0,
        workers=workers,
    )  # fmt: skip


def _preset() -> ModelPreset:
    return replace(load_preset("cnn-small-cpu"), image_size=CROP, resize=None, batch_size=10)


def rate(step: Callable[[], int], seconds: float) -> float:
    """Return images a second of a function that returns how many it made, over at least ``seconds``."""
    step()
    made, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        made += step()
    return made / spent


def loader_rate(split: Split, seconds: float) -> float:
    """Return images a second through the loader with two workers, their start left out."""
    found = batches(split, WORKERS)
    for _ in range(4 * WORKERS):
        next(found)
    return rate(lambda: len(next(found).image), seconds)


def bare_rate(split: Split, seconds: float) -> float:
    """Return images a second of the same decoding and transforms in two processes that hand nothing over."""
    context = multiprocessing.get_context("fork")
    results, start = context.SimpleQueue(), context.Barrier(WORKERS)

    def work() -> None:
        torch.set_num_threads(1)
        found = batches(split, workers=0)
        next(found)
        start.wait()
        results.put(rate(lambda: len(next(found).image), seconds))

    processes = [context.Process(target=work) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    rates = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(rates)


def published_rate(split: Split, seconds: float) -> float:
    """Return images a second of the published path in this process."""
    root = Path(split.dataset.location)
    known = {label: int(TABLE[label]) for label in range(256)}

    def one() -> int:
        published_sample(root, random.choice(split.ids), known)
        return 1

    return rate(one, seconds)


def decoding_rate(split: Split, seconds: float) -> float:
    """Return images a second for decoding photographs alone, in this process."""
    numbers = iter(lambda: random.randrange(len(split)), None)
    return rate(lambda: len(split.image(next(numbers))) // HEIGHT, seconds)


def label_paths(split: Split) -> list[Figure]:
    """Return the time of the label path on a batch of crops, and how often others' fits into it."""
    label = next(batches(split, workers=0)).label
    known = {value: int(TABLE[value]) for value in range(256)}

    def by_pixel() -> Tensor:
        return label[:2].long().apply_(lambda value: known[value])

    def by_value() -> Tensor:
        return torch.from_numpy(np.stack([_by_value(one.numpy(), known) for one in label]))

    ours = look_up(TABLE, label)
    assert torch.equal(ours[:2], by_pixel()) and torch.equal(ours, by_value())
    own, values = _milliseconds(lambda: look_up(TABLE, label), 60), _milliseconds(by_value, 10)
    pixels = _milliseconds(by_pixel, 3) * len(label) / 2
    return [
        Figure("label path, an image", own / len(label), "ms"),
        Figure("label path against a mapping of each pixel in Python", pixels / own, "times", 50),
        Figure("label path against a loop over unique values", values / own, "times", 7),
    ]


def _by_value(label: NDArray[np.uint8], known: dict[int, int]) -> NDArray[np.int64]:
    mapped = np.zeros(label.shape, dtype=np.int64)
    for value in np.unique(label):
        mapped[label == value] = known[int(value)]
    return mapped


def _milliseconds(work: Callable[[], object], times: int) -> float:
    """Return the least milliseconds of some calls: what others do on the machine only ever adds to it."""
    work()
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return 1000 * min(spent)


def throughput(split: Split, seconds: float, blocks: int) -> list[Figure]:
    """Return the rates of the loader, of two bare processes and of the published path."""
    names: dict[str, Callable[[Split, float], float]] = {
        "loader": loader_rate, "bare": bare_rate, "published": published_rate, "decoding": decoding_rate,
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(blocks):
        for name, measure in names.items():
            rates[name].append(measure(split, seconds / blocks))
    middle = {name: statistics.median(found) for name, found in rates.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["loader"], rates["bare"], strict=True))
    return [
        Figure("decoding alone, one process", middle["decoding"], "images/s"),
        Figure("published path, one process", middle["published"], "images/s"),
        Figure("the same decoding and transforms, two bare processes", middle["bare"], "images/s"),
        Figure("loader, two workers", middle["loader"], "images/s"),
        Figure("loader against two bare processes", 100 * ratio, "%", 90),
        Figure("loader against the published path", middle["loader"] / middle["published"], "times", 5),
    ]


def index_times(split: Split, folder: Path) -> list[Figure]:
    """Return the seconds of the first index of a split's label maps, and of one that is stored."""

    def spent() -> float:
        start = time.perf_counter()
        pixel_counts(split, folder)
        return time.perf_counter() - start

    first = spent()
    return [
        Figure(f"first index of {len(split):,} label maps", first, "s", 60, most=True),
        Figure(
            f"stored index of {len(split):,} label maps", min(spent() for _ in range(3)), "s", 0.2, most=True
        ),
    ]


def worker_memory(split: Split, epochs: int) -> list[Figure]:
    """Return the memory of a worker after its first epoch, and how much it grew until the last."""
    length = iterations_per_epoch(len(split), _preset().batch_size)
    found = batches(split, WORKERS, iterations=length * (epochs + 2))
    own: list[dict[int, float]] = []
    for _ in range(epochs):
        for _ in range(length):
            next(found)
        workers = [process.pid for process in multiprocessing.active_children() if process.pid]
        own.append({process: _own_mebibytes(process) for process in workers})
    growth = max(own[-1][process] - own[0][process] for process in own[0])
    return [
        Figure("memory of a worker after an epoch", max(own[0].values()), "MiB"),
        Figure(f"the same, growth over {epochs - 1} more epochs", growth, "MiB", 8, most=True),
    ]


def _own_mebibytes(process: int) -> float:
    """Return a process's own memory: pages of files and those shared with others are left out."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=40, help="for each of the rates")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder) / "data", asked.pairs, asked.labels)
        dataset = open_dataset("folder", Path(folder) / "data")
        split = dataset.split("train")
        figures = []
        for measured in (
            lambda: throughput(split, asked.seconds, asked.blocks),
            lambda: label_paths(split),
            lambda: index_times(dataset.split("many"), Path(folder) / "cache"),
            lambda: worker_memory(split, asked.epochs),
        ):
            for figure in measured():
                figures.append(figure)
                print(figure.line(), flush=True)
    sys.exit(0 if all(figure.met for figure in figures) else 1)


if __name__ == "__main__":
    main()
