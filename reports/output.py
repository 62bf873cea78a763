"""Writing the site: only what changed, figures only when what they show changed, nothing stale left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from benchmark.record import sha256_of
from reports.sightings import Sighting, Sightings
from reports.specs import Spec, digest

MANIFEST = "site.json"
_DRAWN_BY = ("axes.py", "costaxes.py", "draw.py", "labels.py", "specs.py")


class Image(NamedTuple):
    """A figure in the site: its path without ending, and its size in CSS pixels."""

    path: str
    width: int
    height: int


@dataclass
class Listing:
    """What a site holds: digests of its files, keys of its figures, and of its parts key and files."""

    files: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Tally:
    """What was done. ``changed``: files that were written or removed; in a dry run, that would be."""

    listing: Listing = field(default_factory=Listing)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    sightings: dict[str, Sighting] = field(default_factory=dict)


class Output:
    """A folder that becomes a site. Files of an earlier build that this one does not write are removed.

    ``dry``: nothing is written or removed, only noted in the tally. ``sightings``: what is known of files of
    the last build (None: each is read).
    """

    def __init__(self, folder: Path, dry: bool = False, sightings: Sightings | None = None) -> None:
        self.folder = folder
        self.dry = dry
        self.tally = Tally()
        self._sightings = sightings or Sightings()
        self._start = f"{folder}/"
        self._before = _manifest(folder / MANIFEST)
        self._made: set[str] = set()

    def apart(self) -> Output:
        """Return an output to the same folder with a tally of its own, for :meth:`merge`."""
        other = object.__new__(Output)
        other.__dict__ |= vars(self) | {"tally": Tally(), "_sightings": self._sightings.apart()}
        return other

    def done(self) -> Tally:
        """Return the tally, with what is now known of the files."""
        self.tally.sightings = self._sightings.fresh
        return self.tally

    def merge(self, tally: Tally) -> None:
        """Take over what was written through an output apart, in another process it may be."""
        own = self.tally
        own.listing.files |= tally.listing.files
        own.listing.figures |= tally.listing.figures
        own.listing.parts |= tally.listing.parts
        own.changed += tally.changed
        own.unchanged += tally.unchanged
        self._sightings.fresh |= tally.sightings

    def write(self, path: str, content: bytes) -> None:
        """Write one file, unless it is there with the same bytes."""
        digest = self.tally.listing.files[path] = sha256_of(content)
        self._write(path, content)
        if not self.dry:
            self._sightings.wrote(self._start + path, digest)

    def _write(self, path: str, content: bytes) -> None:
        if not self.dry and self._create(path, content):
            self.tally.changed.append(path)
            return
        target = self.folder / path
        if _read(target) == content:
            self.tally.unchanged += 1
            return
        self.tally.changed.append(path)
        if not self.dry:
            temporary = target.with_name(f".{target.name}.part")
            temporary.write_bytes(content)
            temporary.replace(target)

    def _create(self, path: str, content: bytes) -> bool:
        """Write a file where there is none; return whether there was none, nor a link that leads nowhere."""
        name = self._start + path
        folder = name.rpartition("/")[0]
        if folder not in self._made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        try:
            with open(name, "xb") as file:  # noqa: PTH123  # of thousands: a Path takes as long
                file.write(content)
        except FileExistsError:
            return False
        return True

    @contextmanager
    def part(self, name: str, key: str) -> Iterator[None]:
        """Note the files written inside as a part of the site that ``key`` settles."""
        earlier = set(self.tally.listing.files)
        yield
        self.tally.listing.parts[name] = [key, *sorted(self.tally.listing.files.keys() - earlier)]

    def reuse(self, name: str, key: str) -> bool:
        """Keep a part as the last build left it, if it had the same key and its files are still those."""
        former, *files = self._before.parts.get(name, [""])
        known = {path: self._before.files.get(path, "") for path in files}
        seen, start = self._sightings, self._start
        if former != key or not all(seen.digest(start + path) == known[path] for path in files):
            return False
        listing = self.tally.listing
        listing.files |= known
        listing.parts[name] = [former, *files]
        drawn = (path.removesuffix(".svg") for path in files if path.endswith(".svg"))
        listing.figures |= {
            path: self._before.figures[path] for path in drawn if path in self._before.figures
        }
        self.tally.unchanged += len(files)
        return True

    def figure(self, path: str, spec: Spec) -> Image:
        """Write ``path``.svg and .png, drawn anew only where spec or drawing code changed."""
        key = sha256_of(f"{digest(spec)} {_drawing()}".encode())
        svg = self._cached(f"{path}.svg", path, key)
        png = self._cached(f"{path}.png", path, key)
        if svg is None or png is None:
            from reports.draw import draw  # matplotlib takes a second to load

            svg, png = draw(spec)
        self.write(f"{path}.svg", svg)
        self.write(f"{path}.png", png)
        self.tally.listing.figures[path] = key
        return Image(path, *_size(svg))

    def _cached(self, file: str, figure: str, key: str) -> bytes | None:
        for listing in (self.tally.listing, self._before):
            if listing.figures.get(figure) == key:
                content = _read(self.folder / file)
                if content is not None and sha256_of(content) == listing.files.get(file):
                    return content
        return None

    def finish(self) -> int:
        """Remove what an earlier build wrote and this did not, and list the files; return how many went."""
        listing = self.tally.listing
        stale = sorted(set(self._before.files) - set(listing.files))
        removed = sum(self._remove(path) for path in stale)
        tables = [f"{json.dumps(name)}: {_lines(table)}" for name, table in vars(listing).items()]
        self.write(MANIFEST, ("{" + ",\n".join(tables) + "}\n").encode())
        return removed

    def _remove(self, path: str) -> bool:
        pure, target = PurePosixPath(path), self.folder / path
        if pure.is_absolute() or ".." in pure.parts or target.is_symlink() or not target.is_file():
            return False
        self.tally.changed.append(path)
        if self.dry:
            return True
        target.unlink()
        for parent in target.parents:
            if parent == self.folder or any(parent.iterdir()):
                break
            parent.rmdir()
        return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _manifest(path: Path) -> Listing:
    """Return the last build's list; an unreadable one counts as none."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = {}
    tables = content if isinstance(content, dict) else {}
    files, figures, parts = (_table(tables.get(name)) for name in ("files", "figures", "parts"))
    return Listing(
        {key: value for key, value in files.items() if isinstance(value, str)},
        {key: value for key, value in figures.items() if isinstance(value, str)},
        {key: value for key, value in parts.items() if _strings(value)},
    )


def _lines(table: dict[str, Any]) -> str:
    """Return a table as JSON, a line an entry: an encoder told to indent is ten times slower."""
    return json.dumps(table, sort_keys=True, separators=(",\n", ": "))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


@cache
def _drawing() -> str:
    """Return a digest of the code that draws."""
    sources = [(Path(__file__).parent / name).read_bytes() for name in _DRAWN_BY]
    return sha256_of(b"\n".join([*sources, version("matplotlib").encode()]))


def _size(svg: bytes) -> tuple[int, int]:
    """Return width and height of a drawing, from points to pixels."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg[:4096])
    width, height = (float(value) for value in found.groups()) if found else (480.0, 360.0)
    return round(width * 4 / 3), round(height * 4 / 3)
