"""The digest of a method's source from its files alone: they are parsed, never imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import MethodError
from benchmark.finding import split_spec
from benchmark.sources import source_digest

DEEPEST = 10


def digest_of(
    method: str, params: Mapping[str, Any], files: Mapping[str, Path], folders: Sequence[Path]
) -> str:
    """Return the digest a run with these hyper-parameters would record.

    ``files``: the adapters by name; ``folders`` hold what they import of ``methods``, first come first.
    Raises MethodError where there is no adapter of that name, or one is not Python.
    """
    try:
        return source_digest([files[name] for name in _chain(method, params, files)], folders)
    except KeyError as error:
        raise MethodError(f"there is no adapter of a method {error.args[0]!r} here") from error
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MethodError(f"the adapter of {method!r} cannot be parsed: {error}") from error


def _chain(method: str, params: Mapping[str, Any], files: Mapping[str, Path]) -> list[str]:
    """Return the names of a method and of those it works on top of, by its hyper-parameter ``on``."""
    names, on = [method], params.get("on")
    while isinstance(on, str) and len(names) < DEEPEST:
        name, inner = split_spec(on)
        names.append(name)
        on = inner.get("on") or _default_on(files[name])
    return names


def _default_on(file: Path) -> str | None:
    """Return the default of the field ``on`` in a method's file; None where it has none."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "on":
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    return None
