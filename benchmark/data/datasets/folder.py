"""A data set of one's own: images, indexed masks, a list of classes and split lists, in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.dataset import first_duplicate
from benchmark.data.files import find_folder, image_files, read_lines, read_list
from benchmark.data.masks import plain_table, read_labels
from benchmark.data.paired import PairedDataset, Places
from benchmark.errors import DataError
from benchmark.protocol import MOST_CLASSES

BACKGROUND = "background"


class Folder(PairedDataset):
    """``root`` with ``images/``, ``masks/``, ``classes.txt`` and ``splits/``.

    ``images/NAME.jpg`` (or .png, .bmp) and ``masks/NAME.png`` belong together; a mask holds one label a
    pixel, 255 for ignored. ``classes.txt`` names the labels 1, 2, ..., one a line; a first line
    ``background`` says that label 0 is a class of its own, without it 0 is what nobody labelled. Each
    ``splits/SPLIT.txt`` is a split, one NAME a line.
    """

    instructions = "It is a data set of your own: put images, masks, splits and classes.txt into one folder."

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        self.folder = find_folder("data set", root, parts=("images", "masks", "splits"), below=())
        names = self._classes()
        self.has_background = names[0] == BACKGROUND
        self.class_names = names[1:] if self.has_background else names
        self._table = plain_table(len(self.class_names))
        self.images = image_files(self.folder / "images")
        self.labels = image_files(self.folder / "masks")
        lists = {path.stem: path for path in sorted((self.folder / "splits").glob("*.txt"))}
        if not lists:
            raise DataError(f"no split list in {self.folder / 'splits'}; expected train.txt and others")
        self.splits = tuple(lists)
        self.lists = {split: read_list(path) for split, path in lists.items()}
        for split, path in lists.items():
            self._check(self.lists[split], path, Places(self.folder / "images", self.folder / "masks"))

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return the label map of an indexed PNG."""
        return read_labels(path, self._table)

    def _classes(self) -> tuple[str, ...]:
        path = self.folder / "classes.txt"
        names = read_lines(path, "class list", "one name")
        twice = first_duplicate(names)
        if twice is not None:
            raise DataError(f"class list {path} names {twice!r} more than once; expected it once")
        number = len(names) - (names[0] == BACKGROUND)
        if not 1 <= number <= MOST_CLASSES:
            raise DataError(f"class list {path} names {number} classes; expected 1 to {MOST_CLASSES}")
        if BACKGROUND in names[1:]:
            raise DataError(f"class list {path} names {BACKGROUND!r} below its first line; expected it there")
        return names
