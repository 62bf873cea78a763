"""Which code a record comes from."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """Commit of the checkout and whether it held changes; None where unknown, both outside of a checkout."""

    commit: str | None
    dirty: bool | None


def source_of_harness() -> Source:
    """Return commit and state of the checkout this package lies in; results/ and reports/ do not count."""
    root = Path(__file__).resolve().parent.parent
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None or _git(root, "ls-files", "--error-unmatch", "benchmark/provenance.py") is None:
        return Source(None, None)
    changes = _git(root, "status", "--porcelain", "--", ".", ":!results", ":!reports")
    return Source(commit, None if changes is None else bool(changes))


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


class History:
    """What this checkout knows of commits. ``complete`` is False without git and in a shallow clone."""

    def __init__(self) -> None:
        self._root = Path(__file__).resolve().parent.parent
        held = _git(self._root, "ls-files", "--error-unmatch", "benchmark/provenance.py") is not None
        self.complete = held and _git(self._root, "rev-parse", "--is-shallow-repository") == "false"

    def has(self, commit: str) -> bool:
        """Tell whether HEAD comes from ``commit``, given in full."""
        known = re.fullmatch(r"[0-9a-f]{40}", commit) is not None
        return known and _git(self._root, "merge-base", "--is-ancestor", commit, "HEAD") is not None

    def unpack(self, commit: str, folder: str, into: Path) -> Path:
        """Write ``folder`` as it was at a commit that :meth:`has` knows, and return it, below ``into``."""
        archive = into / "archive.tar"
        _git(self._root, "archive", f"--output={archive}", commit, "--", folder)
        if archive.is_file():
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="data")
        return into / folder
