"""What is to be validated: records, the files beside them, and adapters that came along. Nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import RecordError
from benchmark.record import Record, read_record, sha256_of
from benchmark.validate.findings import Finding
from benchmark.validate.images import Images, read_images

MANIFEST = "bundle.json"
RECORDS, ADAPTER = "records", "adapter"
_APART = ("published", "logs")


@dataclass(frozen=True)
class Subject:
    """A record and where it lies."""

    path: Path
    record: Record

    @property
    def images_path(self) -> Path | None:
        """The file that the record says lies beside it; None where it names none or one elsewhere."""
        name = self.record.images_file
        return self.path.with_name(name) if name and Path(name).name == name else None

    def images(self) -> Images:
        """Return the matrices by image. Raises RecordError, one sentence, where they cannot be had."""
        if self.images_path is None:
            raise RecordError(
                f"images_file is {self.record.images_file!r}; expected a file beside the record"
            )
        return _images(self.images_path, len(self.record.steps))


@lru_cache(maxsize=4)  # several rules in a row ask for the same
def _images(path: Path, steps: int) -> Images:
    return read_images(path, steps)


class Read(NamedTuple):
    """Records that could be read, findings on files that could not, and adapters by method."""

    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    adapters: dict[str, Path]


def read_all(paths: Iterable[Path]) -> Read:
    """Read records from files and folders; a bundle brings its adapter.

    Raises RecordError for a path that does not exist, and where there is no record at all.
    """
    subjects, findings, adapters = list[Subject](), list[Finding](), dict[str, Path]()
    seen = set[Path]()
    for path in paths:
        root, files = _files(path)
        if (root / MANIFEST).is_file():
            findings += _manifest(root)
            adapters |= {file.stem: file for file in sorted((root / ADAPTER).glob("*.py"))}
        for file in (file for file in files if file.resolve() not in seen):
            seen.add(file.resolve())
            read = _read(file)
            (subjects if isinstance(read, Subject) else findings).append(read)  # type: ignore[arg-type]
        findings += _left_alone(root, subjects) if path.is_dir() else []
    if not seen:
        raise RecordError(f"no record under {', '.join(map(str, paths))}; expected a .json file or a folder")
    return Read(tuple(subjects), tuple(findings), adapters)


def _files(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder that ``path`` is or lies in, and the records it stands for."""
    if path.is_dir():
        under = path / RECORDS if (path / MANIFEST).is_file() else path
        found = (file for file in under.rglob("*.json") if not file.name.startswith("."))
        return path, sorted(file for file in found if file.relative_to(path).parts[0] not in _APART)
    if not path.is_file():
        raise RecordError(f"{path} does not exist; expected a record, a folder of records or a bundle")
    return path.parent, [path]


def _read(file: Path) -> Subject | Finding:
    try:
        return Subject(file, read_record(file))
    except RecordError as error:
        return Finding(str(file), "schema", str(error).replace(str(file), "").replace("  ", " "), "error")


def _left_alone(root: Path, subjects: Sequence[Subject]) -> list[Finding]:
    """Name the files by image that no record claims."""
    claimed = {subject.images_path for subject in subjects}
    unread = {file.with_suffix(".npz") for file in root.rglob("*.json")}
    alone = [file for file in sorted(root.rglob("*.npz")) if file not in claimed | unread]
    return [Finding(str(file), "image file", "no record names it", "error") for file in alone]


def _manifest(root: Path) -> list[Finding]:
    """Compare what a bundle holds with the digests it lists."""
    where = str(root / MANIFEST)
    try:
        listed = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"]
        digests = {str(name): str(digest) for name, digest in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [Finding(where, "manifest", f"it cannot be read: {error!r}", "error")]
    there = {
        file.relative_to(root).as_posix(): sha256_of(file.read_bytes())
        for folder in (RECORDS, ADAPTER)
        for file in sorted((root / folder).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    odd = sorted(name for name in digests.keys() | there.keys() if digests.get(name) != there.get(name))
    return [
        Finding(where, "manifest", f"{name} is not what it was when the bundle was made", "error")
        for name in odd
    ]
