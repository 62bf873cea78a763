"""Pascal VOC 2012, with the augmented training set of SBD as the field merges the two.

Sources: Everingham et al. 2010 (the release); Hariharan et al. 2011, Semantic Contours from Inverse Detectors
(SBD), whose label maps come as MATLAB files or, converted, as the folder ``SegmentationClassAug``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.archives import Archive
from benchmark.data.files import find_folder, image_files, read_list
from benchmark.data.masks import plain_table, read_labels, to_labels
from benchmark.data.paired import PairedDataset, Places
from benchmark.errors import DataError

CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow "
    "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
)
OFFICIAL = ("train", "val")
SBD = ("benchmark_RELEASE/dataset", "sbd")  # the release's own folder, or where it is put on its own
ARCHIVES = (  # addresses and checksums as in torchvision.datasets
    Archive(
        name="VOCtrainval_11-May-2012.tar",
        algorithm="md5",
        digest="6cd6e144f989b92b3379bac3b3de84fd",
        folder="VOCdevkit/VOC2012",
        url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    ),
    Archive(
        name="benchmark.tgz",
        algorithm="md5",
        digest="82b4d87ceb2ed10f6038a1cba92111cb",
        folder="benchmark_RELEASE",
        url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
    ),
)
_TABLE = plain_table(20)


class Voc(PairedDataset):
    """VOC 2012 as ``VOCdevkit/VOC2012`` in ``root``, or ``root`` itself; 20 classes and background.

    ``train`` and ``val`` are the official lists. ``augmented`` is what the field adds to ``train``: all
    images of SBD that are in neither, so that ``train`` and ``augmented`` together are the 10,582 images
    called train_aug. Their label maps are those of ``SegmentationClassAug`` where that folder is there,
    else of SBD's ``cls``, in ``root`` under one of ``SBD``. An official label map wins over SBD's.
    Borders (255) are ignored; SBD has none. Without an augmented set only the others can be used.
    """

    class_names = tuple(CLASSES.split())
    has_background = True
    splits = ("train", "augmented", "val")
    archives = ARCHIVES
    published_images: ClassVar = {"train": 1464, "augmented": 9118, "val": 1449}

    def __init__(self, root: Path | None) -> None:
        super().__init__(root)
        self.folder = find_folder(
            "VOC 2012",
            root,
            parts=("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
            below=("VOCdevkit/VOC2012", "VOC2012"),
        )
        places = Places(self.folder / "JPEGImages", self.folder / "SegmentationClass")
        self.images = image_files(places.images)
        self.labels = image_files(places.labels)
        self.lists = {split: read_list(self._list(split)) for split in OFFICIAL}
        for split, ids in self.lists.items():
            self._check(ids, self._list(split), places)
        self._add_augmented(places)

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of a split's images. Raises DataError for ``augmented`` where there is none."""
        if split not in self.lists:
            raise DataError(
                f"no augmented training set for VOC 2012 at {self.folder}; expected "
                f"{self.folder / 'SegmentationClassAug'}, or SBD in {' or '.join(map(str, self._sbd()))}"
            )
        return self.lists[split]

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Return the label map of a PNG, or of one of SBD's MATLAB files."""
        return _read_mat(path) if path.suffix == ".mat" else read_labels(path, _TABLE)

    def _list(self, split: str) -> Path:
        return self.folder / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _sbd(self) -> list[Path]:
        """Where SBD may lie: beside the folder VOCdevkit, or in the root one was given."""
        bases = dict.fromkeys([self.folder.parents[1], self.root or self.folder])
        return [base / name for base in bases for name in SBD]

    def _add_augmented(self, places: Places) -> None:
        """Add the split ``augmented``, in the order of its names whichever form it comes in."""
        png = self.folder / "SegmentationClassAug"
        sbd = next((folder for folder in self._sbd() if (folder / "cls").is_dir()), None)
        if png.is_dir():
            listed, labels, source = png, image_files(png), Places(places.images, png)
            names = set(labels)
        elif sbd is not None:
            listed, labels, source = sbd, _mat_files(sbd), Places(places.images, sbd / "cls", "{}.mat")
            names = {name for split in OFFICIAL for name in read_list(sbd / f"{split}.txt")}
        else:
            return
        official = {identity for split in OFFICIAL for identity in self.lists[split]}
        self.labels = {**labels, **self.labels}
        self.lists = {**self.lists, "augmented": tuple(sorted(names - official))}
        self._check(self.lists["augmented"], listed, source)


def _mat_files(sbd: Path) -> Mapping[str, Path]:
    return {path.stem: path for path in (sbd / "cls").iterdir() if path.suffix == ".mat"}


def _read_mat(path: Path) -> NDArray[np.uint8]:
    """Return the label map in one of SBD's files: ``GTcls.Segmentation``, 0 to 20."""
    from scipy.io import loadmat

    try:
        values = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # scipy raises whatever the damage leads to
        raise DataError(
            f"label map {path} cannot be read: {type(error).__name__}: {error}; expected GTcls.Segmentation"
        ) from error
    if values.dtype != np.uint8 or values.ndim != 2:
        raise DataError(
            f"label map {path} holds {values.ndim} dimensions of {values.dtype}; expected 2 of uint8"
        )
    return to_labels(values, _TABLE, path)
