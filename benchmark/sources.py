"""The digest of an adapter's source: its file, and whatever it imports that is an adapter's too."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

_PACKAGE = "methods"


def source_digest(files: Iterable[Path], folders: Sequence[Path]) -> str:
    """Return the SHA-256, in hexadecimal, of files and all they import, directly or not, from ``folders``.

    ``folders`` hold the package ``methods``. Comments count: what is the same in meaning alone is not the
    same source. The harness does not: records name its commit.
    """
    found = source_files(files, folders)
    digests = sorted(hashlib.sha256(content).digest() for content in found.values())
    return hashlib.sha256(b"".join(digests)).hexdigest()


def source_files(files: Iterable[Path], folders: Sequence[Path]) -> dict[Path, bytes]:
    """Return files and all they import from ``folders``, with their content.

    As Python does, a module is taken from the first folder that has it.
    """
    waiting, found = list(files), dict[Path, bytes]()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = file.read_bytes()
            waiting += _imported(found[file], folders)
    return found


def _imported(source: bytes, folders: Sequence[Path]) -> Iterator[Path]:
    for name in _module_names(ast.parse(source)):
        places = (file for folder in folders if (file := folder / f"{name}.py").is_file())
        yield from islice(places, 1)


def _module_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = [_PACKAGE if node.level else "", node.module or ""]
            dotted = [".".join(filter(None, [*parts, alias.name])) for alias in node.names]
        else:
            continue
        for name in dotted:
            package, _, rest = name.partition(".")
            if package == _PACKAGE and rest:
                yield rest.partition(".")[0]
