"""A true record of the committed board of shapes, the board around it, and what it takes to forge one."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.finding import method_files, methods_folders
from benchmark.record import Record, read_record, sha256_of
from benchmark.validate.adapters import digest_of

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "results" / "shapes-4-2-overlapped" / "cnn-small-cpu"
COMMIT = "c0ffee" * 6 + "c0ff"
Content = dict[str, Any]


class Past:
    """A history that knows one commit, at which methods were what they are now."""

    complete = True

    def has(self, commit: str) -> bool:
        return commit == COMMIT

    def unpack(self, commit: str, folder: str, into: Path) -> Path:
        return ROOT / folder


@dataclass(frozen=True)
class Submitted:
    """A folder with one record in it, as under ``results``."""

    folder: Path
    path: Path

    @property
    def images(self) -> Path:
        return self.path.with_suffix(".npz")

    def edit(self, change: Callable[[Content], None]) -> None:
        content = json.loads(self.path.read_text(encoding="utf-8"))
        change(content)
        self.path.write_text(json.dumps(content), encoding="utf-8")

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.images) as found:
            return dict(found)

    def pack(self, arrays: dict[str, np.ndarray], sealed: bool = True) -> None:
        """Write the arrays and, unless told otherwise, their digest into the record."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        self.images.write_bytes(buffer.getvalue())
        if sealed:
            digest = sha256_of(buffer.getvalue())
            self.edit(lambda content: content.update(images_digest=digest))

    def zip(self, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(self.images, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def committed(variant: str, seed: int) -> Path:
    """The committed record of a run on the board of shapes."""
    found = [path for path in sorted(BOARD.glob("*.json")) if _is(path, variant, seed)]
    return found[-1]


def _is(path: Path, variant: str, seed: int) -> bool:
    record = read_record(path)
    return (record.variant, record.seed) == (variant, seed)


def copy_run(source: Path, results: Path) -> Path:
    """Copy a record and its file by image to where they would lie under ``results``."""
    folder = results / source.parent.parent.name / source.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.with_suffix(".npz"), folder)
    return Path(shutil.copy(source, folder))


def submitted(tmp_path: Path, variant: str = "mib", seed: int = 2) -> Submitted:
    """A true record, as if it had been made with the adapter that is there now."""
    folder = tmp_path / "submitted"
    found = Submitted(folder, copy_run(committed(variant, seed), folder))
    record = read_record(found.path)
    found.edit(lambda content: content.update(source_digest=current_source(record), commit=COMMIT))
    return found


def current_source(record: Record) -> str:
    """The digest a run would record now: methods may have changed since."""
    return digest_of(record.method, record.params, method_files(), methods_folders())


def believed(folder: Path) -> Path:
    """A board with the reference's runs and another seed of the method."""
    for variant, seed in (("fine_tune", 0), ("fine_tune", 1), ("mib", 0)):
        copy_run(committed(variant, seed), folder)
    return folder
