"""The archives that data sets come in, and whether one on disk is what was published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.errors import DataError


@dataclass(frozen=True)
class Archive:
    """One published file.

    ``digest`` in hexadecimal by ``algorithm``, as its ``source`` prints it; ``folder`` is what it unpacks to,
    seen from the data's root. ``url`` is None where one must log in to get it.
    """

    name: str
    algorithm: Literal["md5", "sha1", "sha256"]
    digest: str
    folder: str
    url: str | None = None

    def fault(self, path: Path) -> str | None:
        """Return a sentence if the file at ``path`` is another. Raises DataError if it cannot be read."""
        found = file_digest(path, self.algorithm)
        if found == self.digest:
            return None
        return f"archive {path} has the {self.algorithm} {found}; expected {self.digest}, as it was published"


def file_digest(path: Path, algorithm: str) -> str:
    """Return the digest of a file in hexadecimal. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise DataError(f"archive {path} cannot be read: {error.strerror}") from error
