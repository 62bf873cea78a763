"""Pictures that runs kept of test images: read with distrust, and shown on the pages of their runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.errors import RecordError
from benchmark.record import Digest, Record, sha256_of
from reports.classes import row_names
from reports.load import LeftOut
from reports.pages import Site
from reports.palette import IGNORE, hexadecimal, image_png, label_png
from reports.rendered import rendered
from reports.runs import Run

FOLDER = "pictures"
MANIFEST = "pictures.jsonl"
LARGEST = 2048
"""Pixels of a side beyond which a picture is not opened."""
SIDE = 160
"""Pixels of the longer side of a picture on the page."""
NAMED = 6
"""Classes that a picture's description names."""
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}\.png$")]


@dataclass(frozen=True)
class About:
    """The first line of a list of pictures: which record they belong to."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1]
    images_digest: Digest
    protocol: str
    dataset: str
    variant: str
    seed: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One test image: names of its files, in the folder of the list."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    image: FileName
    labels: FileName
    predictions: Annotated[tuple[FileName, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Kept:
    """The pictures of one run and where they lie."""

    folder: Path
    about: About
    entries: tuple[Entry, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the list and all its files."""
        names = [name for e in self.entries for name in (e.image, e.labels, *e.predictions)]
        content = [sha256_of((self.folder / name).read_bytes()) for name in names]
        return sha256_of(repr([self.about, self.entries, content]).encode("utf-8", "backslashreplace"))


@dataclass
class Album:
    """Pictures by the digest of a record's counts by image: that of the very predictions they show."""

    kept: Mapping[str, Kept] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    def of(self, record: Record) -> Kept | None:
        """Return the pictures of a record's very predictions; None where there are none."""
        return self.kept.get(record.images_digest or "")


class Picture(NamedTuple):
    """A picture on a page."""

    src: str
    alt: str


class Row(NamedTuple):
    """One test image: itself, its labels, then what was predicted after each step."""

    name: str
    image: Picture
    maps: tuple[Picture, ...]
    width: int
    height: int


class Colour(NamedTuple):
    """An entry of the legend."""

    name: str
    colour: str


class Gallery(NamedTuple):
    """The pictures of a run, ready for its page."""

    steps: tuple[int, ...]
    rows: tuple[Row, ...]
    legend: tuple[Colour, ...]


def read_album(results: Path, pictures: Path | None) -> Album:
    """Read the lists of pictures under ``pictures``; where None, those of rendered images in ``results``.

    Photographs belong to whoever made them and are shown only when their folder is named. A list that
    cannot be read is left out with its reason. Raises RecordError where ``pictures`` does not exist.
    """
    folder = results / FOLDER if pictures is None else pictures
    if pictures is not None and not folder.is_dir():
        raise RecordError(f"pictures folder {folder} does not exist; expected one that a run wrote")
    kept: dict[str, Kept] = {}
    left_out: list[LeftOut] = []
    for path in sorted(folder.rglob(MANIFEST)):
        name = f"{FOLDER}/{path.relative_to(folder).as_posix()}"
        try:
            found = _read(path)
            if pictures is None and not rendered(found.about.dataset):
                raise RecordError("photographs are shown only when their folder is named with --pictures")
            _pixels(found)
        except RecordError as error:
            left_out.append(LeftOut(name, str(error).replace(str(path.parent), ".")))
        else:
            kept[found.about.images_digest] = found
    return Album(kept, tuple(left_out))


def _read(path: Path) -> Kept:
    try:
        about, first, *others = path.read_text(encoding="utf-8").splitlines()
        return Kept(
            path.parent,
            TypeAdapter(About).validate_json(about, strict=True),
            tuple(TypeAdapter(Entry).validate_json(line, strict=True) for line in (first, *others)),
        )
    except (OSError, ValueError) as error:
        raise RecordError(f"{path.name} is not what a run writes: {_first(error)}") from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "line"
    return f"{where}: {first['msg']}, got {json.dumps(str(first['input'])[:80])}"


def _pixels(kept: Kept) -> None:
    """Raise RecordError for a picture that cannot be read or shows a class that the list does not name."""
    for entry in kept.entries:
        _image(kept.folder / entry.image)
        for name in (entry.labels, *entry.predictions):
            labels = _labels(kept.folder / name)
            beyond = {int(k) for k in np.unique(labels)} - {*range(len(kept.about.names)), IGNORE}
            if beyond:
                raise RecordError(f"picture {name} has class {min(beyond)}, which the list does not name")


def _image(path: Path) -> NDArray[np.uint8]:
    return np.asarray(_open(path, "RGB"), dtype=np.uint8)


def _labels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(_open(path, "L"), dtype=np.uint8)


def _open(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if max(picture.size) > LARGEST or picture.mode != mode:
                raise RecordError(
                    f"picture {path.name} is {picture.size[0]} x {picture.size[1]}, {picture.mode}; expected "
                    f"{mode} of up to {LARGEST} pixels a side"
                )
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RecordError(f"picture {path.name} cannot be read: {error}") from error


def write_gallery(site: Site, run: Run, kept: Kept) -> Gallery:
    """Write the pictures of a run beside its page."""
    names = dict(enumerate(row_names(run.record)))
    seen: set[int] = set()
    stems = [f"{run.stem}-{nth:02}" for nth in range(len(kept.entries))]
    rows = tuple(_row(site, s, kept, e, names, seen) for s, e in zip(stems, kept.entries, strict=True))
    legend = tuple(Colour(names.get(k, "not scored"), hexadecimal(k)) for k in sorted(seen))
    steps = max(len(entry.predictions) for entry in kept.entries)
    return Gallery(tuple(range(steps)), rows, legend)


def _row(site: Site, stem: str, kept: Kept, entry: Entry, names: Mapping[int, str], seen: set[int]) -> Row:
    image = _image(kept.folder / entry.image)
    site.output.write(f"{stem}-image.png", image_png(image))
    files = {"labels": entry.labels, **{f"step{t}": name for t, name in enumerate(entry.predictions)}}
    maps = []
    for key, name in files.items():
        labels = _labels(kept.folder / name)
        site.output.write(f"{stem}-{key}.png", label_png(labels))
        seen |= {int(k) for k in np.unique(labels)}
        what = "Labels" if key == "labels" else f"Predicted after step {key.removeprefix('step')}"
        maps.append(Picture(f"{stem}-{key}.png", f"{what}: {_said(labels, names)}"))
    height, width = (max(1, round(SIDE * side / max(image.shape[:2]))) for side in image.shape[:2])
    picture = Picture(f"{stem}-image.png", f"Test image {entry.id}")
    return Row(entry.id, picture, tuple(maps), width, height)


def _said(labels: NDArray[np.uint8], names: Mapping[int, str]) -> str:
    """Return what a label map shows: its classes by area, with their shares."""
    index, count = np.unique(labels[labels != IGNORE], return_counts=True)
    largest = sorted(zip(count.tolist(), index.tolist(), strict=True), reverse=True)[:NAMED]
    parts = [f"{names.get(k, 'unknown')} {100 * n / labels.size:.0f} %" for n, k in largest]
    return ", ".join(parts) or "nothing scored"
