"""Writing the site: only what changed, figures only when what they show changed, nothing stale left."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from benchmark.record import sha256_of
from reports.specs import Spec, digest

MANIFEST = "site.json"
_DRAWN_BY = ("axes.py", "costaxes.py", "draw.py", "labels.py", "specs.py")


class Image(NamedTuple):
    """A figure in the site: its path without ending, and its size in CSS pixels."""

    path: str
    width: int
    height: int


class Output:
    """A folder that becomes a site. Files of an earlier build that this one does not write are removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0
        self.unchanged = 0
        self.removed = 0
        self._files: dict[str, str] = {}
        self._figures: dict[str, str] = {}
        self._before = _manifest(folder / MANIFEST)

    def write(self, path: str, content: bytes) -> None:
        """Write one file, unless it is there with the same bytes."""
        target = self.folder / path
        self._files[path] = sha256_of(content)
        if target.is_file() and target.read_bytes() == content:
            self.unchanged += 1
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        temporary.write_bytes(content)
        temporary.replace(target)
        self.written += 1

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
        self._figures[path] = key
        return Image(path, *_size(svg))

    def _cached(self, file: str, figure: str, key: str) -> bytes | None:
        target = self.folder / file
        if self._before["figures"].get(figure) != key or not target.is_file():
            return None
        content = target.read_bytes()
        return content if sha256_of(content) == self._before["files"].get(file) else None

    def finish(self) -> None:
        """Remove what an earlier build wrote and this one did not, and write the list of files."""
        for path in sorted(set(self._before["files"]) - set(self._files)):
            self._remove(path)
        listing = {"files": dict(sorted(self._files.items())), "figures": dict(sorted(self._figures.items()))}
        text = json.dumps(listing, indent=1) + "\n"
        self.write(MANIFEST, text.encode())

    def _remove(self, path: str) -> None:
        pure, target = PurePosixPath(path), self.folder / path
        if pure.is_absolute() or ".." in pure.parts or target.is_symlink() or not target.is_file():
            return
        target.unlink()
        self.removed += 1
        for parent in target.parents:
            if parent == self.folder or any(parent.iterdir()):
                return
            parent.rmdir()


def _manifest(path: Path) -> dict[str, dict[str, str]]:
    """Return the last build's list; an unreadable one counts as none."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = {}
    tables = {name: content.get(name) if isinstance(content, dict) else None for name in ("files", "figures")}
    return {name: _strings(table) for name, table in tables.items()}


def _strings(table: Any) -> dict[str, str]:
    items = table.items() if isinstance(table, dict) else ()
    return {key: value for key, value in items if isinstance(key, str) and isinstance(value, str)}


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
