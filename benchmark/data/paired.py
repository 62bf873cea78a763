"""Datasets of files: an image and a label map for each name in a list."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import Dataset
from benchmark.data.decode import file_stamp, read_rgb
from benchmark.data.masks import check_size
from benchmark.errors import DataError


@dataclass(frozen=True)
class Places:
    """Where images and label maps are looked for, and what an id's label map is called; for messages."""

    images: Path
    labels: Path
    label_name: str = "{}.png"


class PairedDataset(Dataset):
    """A dataset whose images and label maps are files.

    ``folder`` is where they lie; ``images`` and ``labels`` map an image's id to its files; ``lists`` holds
    the ids of each split. Opening one checks with :meth:`_check` that what is listed is there.
    """

    folder: Path
    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    lists: Mapping[str, tuple[str, ...]]

    @property
    def location(self) -> str:
        """The dataset's own folder."""
        return str(self.folder)

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of a split's images, in its list's order."""
        return self.lists[split]

    def image(self, identity: str) -> NDArray[np.uint8]:
        """Return a photograph, (H, W, 3) uint8 RGB."""
        return read_rgb(self.images[identity])

    def label(self, identity: str) -> NDArray[np.uint8]:
        """Return a label map, (H, W) uint8. Raises DataError for an unknown value or a wrong size."""
        path = self.labels[identity]
        label = self.decode(path)
        check_size(label, path, self.images[identity])
        return label

    def stamp(self, identity: str) -> str:
        """Return name, size and time of change of a label file."""
        return file_stamp(self.labels[identity])

    def image_stamp(self, identity: str) -> str:
        """Return name, size and time of change of an image file."""
        return file_stamp(self.images[identity])

    @abstractmethod
    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return the label map in a file, (H, W) uint8. Raises DataError if it cannot be read."""

    def _check(self, ids: Iterable[str], listed_in: Path, places: Places) -> None:
        """Raise DataError, with a finding for each, for listed images that have no file or no label map."""
        _refuse(self._unpaired(ids, listed_in, places))

    def _check_pairs(self, places: Places) -> None:
        """Raise DataError unless every image has a label map and every label map an image.

        For layouts without lists, where a file that is not there would shrink a split in silence.
        """
        alone = (
            f"label map {path} has no image; expected {identity!r} in {places.images}"
            for identity, path in self.labels.items()
            if identity not in self.images
        )
        _refuse([*self._unpaired(self.images, places.images, places), *alone])

    def _unpaired(self, ids: Iterable[str], listed_in: Path, places: Places) -> Iterator[str]:
        for identity in ids:
            if identity not in self.images:
                yield f"split list {listed_in} names image {identity!r}, which is not in {places.images}"
            elif identity not in self.labels:
                yield (
                    f"image {self.images[identity]} has no label map; expected "
                    f"{places.label_name.format(identity)} in {places.labels}"
                )


def _refuse(findings: Iterable[str]) -> None:
    found = tuple(findings)
    if found:
        raise DataError(*found)
