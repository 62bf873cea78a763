"""Which code a record comes from."""

from __future__ import annotations

import subprocess
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
