"""Finding the files of a dataset: its folder, its split lists, image files by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.data.dataset import first_duplicate
from benchmark.data.decode import IMAGE_SUFFIXES
from benchmark.errors import DataError, DataNotFoundError


def find_folder(title: str, root: Path | None, parts: Sequence[str], below: Sequence[str]) -> Path:
    """Return ``root`` or the first of its folders ``below`` that has all folders ``parts``.

    Raises DataNotFoundError where none has, and where ``root`` is None.
    """
    if root is None:
        raise DataNotFoundError(f"{title} needs the folder of its data; got none, expected --data-root")
    for folder in (root, *(root / name for name in below)):
        if all((folder / part).is_dir() for part in parts):
            return folder
    places = " or in ".join(["it", *(str(root / name) for name in below)])
    raise DataNotFoundError(f"no {title} at {root}; expected {' and '.join(parts)} in {places}")


def read_lines(path: Path, kind: str, line: str) -> tuple[str, ...]:
    """Return the lines of a text file, stripped, blank ones left out, in Unicode's composed form.

    ``kind`` and ``line`` say in messages what the file is and what is expected on a line. Raises DataError
    for a file that is missing, not UTF-8 or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{kind} {path} is missing; expected {line} a line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{kind} {path} cannot be read: {error}") from error
    lines = tuple(composed(found.strip()) for found in text.splitlines() if found.strip())
    if not lines:
        raise DataError(f"{kind} {path} is empty; expected {line} a line")
    return lines


def read_list(path: Path) -> tuple[str, ...]:
    """Return the image names of a split list, without the endings of image files.

    Raises DataError as :func:`read_lines` does, and for a name that stands there twice.
    """
    names = tuple(map(without_ending, read_lines(path, "split list", "one image name")))
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"split list {path} names image {twice!r} more than once; expected it once")
    return names


def without_ending(name: str) -> str:
    """Return a file's name without the ending of an image file; other dots stay."""
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def image_files(folder: Path, ending: str = "") -> Mapping[str, Path]:
    """Return the image files in ``folder`` whose stem ends in ``ending``, by the stem's rest, sorted.

    Raises DataError for a folder that cannot be listed and for two files of one stem.
    """
    found: dict[str, Path] = {}
    for path in _listed(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.stem.endswith(ending):
            continue
        name = composed(path.stem.removesuffix(ending))
        if name in found:
            raise DataError(f"{folder} has both {found[name].name} and {path.name}; expected one of them")
        found[name] = path
    return found


def composed(name: str) -> str:
    """Return a name in Unicode's composed form: some file systems and archives spell é as e and an accent."""
    return unicodedata.normalize("NFC", name)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DataError(f"folder {folder} cannot be listed: {error.strerror}") from error
