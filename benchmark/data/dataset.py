"""What a dataset is, and finding one by its name.

A dataset is one module in ``benchmark/data/datasets`` that defines one subclass of :class:`Dataset`;
the file's name is the dataset's name, and no list has to be edited. This module imports no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmark.data.archives import Archive
from benchmark.data.memory import ArrayCache, Cache
from benchmark.errors import DataError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FOLDER = Path(__file__).parent / "datasets"
IGNORE = 255


class Dataset(ABC):
    """Base of all datasets.

    Labels are 0 for background (or what is not labelled), 1..C for the classes in the order of
    ``class_names``, 255 for pixels that are ignored. ``has_background`` tells whether label 0 is a class of
    its own or merely the absence of a label. An image's id is unique in the whole dataset.
    ``splits`` names all splits; ``published_images`` tells how many images each has in the published
    release, where that is known, and ``archives`` the files that it is published in. ``cache`` holds decoded
    arrays for the loaders. ``root`` is where the data lie, None for a dataset that makes its own.
    """

    version: ClassVar[int] = 1
    """To be raised with any change of what labels decode to; stored indices are then rebuilt."""
    class_names: tuple[str, ...]
    has_background: bool
    splits: tuple[str, ...]
    published_images: ClassVar[Mapping[str, int]] = {}
    archives: ClassVar[tuple[Archive, ...]] = ()
    instructions: ClassVar[str] = ""
    """How to get the data, where that takes more than ``archives`` say."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.cache: Cache = ArrayCache()

    @property
    def name(self) -> str:
        """The name under which :func:`open_dataset` finds it."""
        return type(self).__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the data were found, for messages and to tell two copies apart."""

    @abstractmethod
    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of the images of one of ``splits``, in its order."""

    @abstractmethod
    def image(self, identity: str) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8 RGB. Raises DataError if it cannot be read."""

    @abstractmethod
    def label(self, identity: str) -> NDArray[np.uint8]:
        """Return a label map, (H, W) uint8. Raises DataError if it cannot be read or does not fit."""

    @abstractmethod
    def stamp(self, identity: str) -> str:
        """Return what tells one state of a label map from another, without reading it."""

    def image_stamp(self, identity: str) -> str | None:
        """Return what tells one state of an image from another; None where it is no file."""
        return None

    def split(self, *names: str) -> Split:
        """Return the named splits as one, in the order given.

        Raises DataError for a split there is not, one without an image, and an image that is in two of them.
        """
        for name in names:
            if name not in self.splits:
                raise DataError(unknown_name(f"split of dataset {self.name}", name, self.splits))
            if not self.ids(name):
                raise DataError(f"split {name} of {self.location} has no image; expected at least one")
        ids = tuple(identity for name in names for identity in self.ids(name))
        twice = first_duplicate(ids)
        if twice is not None:
            raise DataError(f"image {twice!r} is more than once in {'+'.join(names)} of {self.location}")
        return Split(self, "+".join(names), ids)


@dataclass(frozen=True, eq=False)
class Split:
    """Images of a dataset that are used together."""

    dataset: Dataset
    name: str
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the image at ``index``, (H, W, 3) uint8 RGB."""
        return self.dataset.image(self.ids[index])

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return the label map at ``index``, (H, W) uint8."""
        return self.dataset.label(self.ids[index])


def first_duplicate(names: Iterable[str]) -> str | None:
    """Return the first name that stands in ``names`` for a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def dataset_names() -> tuple[str, ...]:
    """Return the names of all datasets, sorted, without importing any."""
    found = (module.name for module in pkgutil.iter_modules([str(_FOLDER)]))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def dataset_class(name: str) -> type[Dataset]:
    """Return the class behind a dataset's name. Raises DataError for an unknown name."""
    if name not in dataset_names():
        raise DataError(unknown_name("dataset", name, dataset_names()))
    module = importlib.import_module(f"benchmark.data.datasets.{name}")
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Dataset) and item.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} defines {len(found)} subclasses of Dataset; expected one")
    return found[0]


def open_dataset(name: str, root: Path | None) -> Dataset:
    """Open a dataset, whose data lie in or below ``root`` (None for one that makes its own).

    ``kind:place`` is the dataset ``kind`` whose data lie in the folder ``place`` of ``root``. Raises
    DataError, one sentence, for an unknown name and for data that are missing or incomplete.
    """
    kind, colon, place = name.partition(":")
    found = dataset_class(kind)
    if not colon:
        return found(root)
    if place in ("", "..") or Path(place).name != place:
        raise DataError(f"dataset {name!r} names {place!r}; expected the name of a folder in the data's root")
    return found(None if root is None else root / place)
