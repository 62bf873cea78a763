"""Is a data set there, whole, and the published one? All that is wrong with it, not the first alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.archives import Archive
from benchmark.data.counts import step_sizes
from benchmark.data.dataset import Dataset, Split, open_dataset
from benchmark.data.index import count_labels, pixel_counts
from benchmark.data.targets import Target
from benchmark.errors import DataError, DataNotFoundError
from benchmark.protocol import Protocol

OnImage = Callable[[], object]


@dataclass(frozen=True)
class Count:
    """Numbers of images that were found, and the published ones (None: none are published)."""

    what: str
    found: tuple[int, ...]
    published: tuple[int, ...] | None

    @property
    def agrees(self) -> bool:
        """Whether nothing published says otherwise."""
        return self.published is None or self.found == self.published

    def line(self, width: int) -> str:
        """Return the numbers and what was published in words."""
        verdict = "no count is published" if self.published is None else "as published"
        if not self.agrees:
            verdict = f"NOT as published: {_numbers(self.published or ())}"
        return f"  {self.what:<{width}}  {_numbers(self.found)}  ({verdict})"


@dataclass(frozen=True)
class Inspection:
    """What was found of a data set.

    ``location`` is None where it could not be opened; ``missing`` says that it is not there at all.
    ``images`` are by split and ``steps`` by protocol; ``faults`` a sentence each; ``archives`` names those
    that were found and are what was published.
    """

    dataset: str
    location: str | None
    images: tuple[Count, ...] = ()
    steps: tuple[Count, ...] = ()
    faults: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    missing: bool = False

    @property
    def whole(self) -> bool:
        """Whether all is there and nothing published says otherwise."""
        return not self.faults and all(count.agrees for count in (*self.images, *self.steps))

    def lines(self) -> list[str]:
        """Return the findings for a person, a verdict first."""
        if self.location is None:
            verdict = "not found" if self.missing else "found, but cannot be used"
            return [f"{self.dataset}: {verdict}", *(f"  {fault}" for fault in self.faults)]
        verdict = "found and whole" if self.whole else "found, but not as it should be"
        width = max((len(count.what) for count in (*self.images, *self.steps)), default=0)
        return [
            f"{self.dataset}: {verdict}, at {self.location}",
            *(count.line(width) for count in (*self.images, *self.steps)),
            *(f"  archive {name} is the published one" for name in self.archives),
            *(f"  {fault}" for fault in self.faults),
        ]


def inspect(target: Target, root: Path | None, on_image: OnImage = lambda: None) -> Inspection:
    """Read every image and label map of a data set and hold it against what was published.

    Raises DataError for an unknown data set alone. ``on_image`` is told of each pair that was read.
    """
    try:
        dataset = open_dataset(target.dataset, root)
    except DataError as error:
        missing = isinstance(error, DataNotFoundError)
        return Inspection(target.dataset, None, faults=error.findings, missing=missing)
    images, faults = _images(dataset)
    listed = [identity for count in images for identity in dataset.ids(count.what)]
    faults += _unreadable(dataset, listed, on_image)
    archives = _archives(dataset.archives, root, faults)
    steps = [] if faults else [_steps(protocol, dataset, faults) for protocol in target.protocols]
    found = tuple(count for count in steps if count)
    return Inspection(target.dataset, dataset.location, tuple(images), found, tuple(faults), archives)


def _images(dataset: Dataset) -> tuple[list[Count], list[str]]:
    """Count the images of each split."""
    counts, faults = [], []
    for name in dataset.splits:
        published = dataset.published_images.get(name)
        try:
            found = len(dataset.ids(name))
        except DataError as error:
            faults.append(str(error))
            continue
        counts.append(Count(name, (found,), None if published is None else (published,)))
    return counts, faults


def _unreadable(dataset: Dataset, ids: list[str], on_image: OnImage) -> Iterator[str]:
    """Yield a sentence for each image and label map that cannot be read or used."""
    every = Split(dataset, "all", tuple(dict.fromkeys(ids)))

    def read(index: int) -> list[str]:
        faults = []
        for attempt in (every.image, lambda index: count_labels(every, index)):
            try:
                attempt(index)
            except DataError as error:
                faults.append(str(error))
        return list(
            dict.fromkeys(faults)
        )  # a label map is held against its image, which may be the broken one

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for faults in pool.map(read, range(len(every))):
            on_image()
            yield from faults


def _steps(protocol: Protocol, dataset: Dataset, faults: list[str]) -> Count | None:
    """Count the images of each step; what is in the way becomes a fault."""
    try:
        train = dataset.split(*protocol.splits.train)
        found = step_sizes(protocol, pixel_counts(train) > 0)
    except DataError as error:
        faults.append(str(error))
        return None
    faults += [
        f"step {step} of {protocol.id} has no image in {train.name} of {dataset.location}"
        for step, number in enumerate(found)
        if not number
    ]
    return Count(protocol.id, found, protocol.expected_images)


def _archives(known: tuple[Archive, ...], root: Path | None, faults: list[str]) -> tuple[str, ...]:
    """Hold archives that still lie beside the data against their checksums; return those that pass."""
    passed = []
    for archive in known:
        path = (root or Path()) / archive.name
        if root is None or not path.is_file():
            continue
        fault = archive.fault(path)
        if fault is None:
            passed.append(archive.name)
        else:
            faults.append(fault)
    return tuple(passed)


def _numbers(numbers: tuple[int, ...]) -> str:
    return " ".join(f"{number:,}" for number in numbers)
