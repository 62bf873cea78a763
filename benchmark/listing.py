"""What ``cssbench list`` prints: one line each, name first. Imports nothing heavy."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from benchmark.finding import method_files, method_names
from benchmark.protocols import family_files, load_family, load_preset, preset_files


def _methods() -> list[str]:
    files = method_files()
    return [f"{name:<12} {_first_line(files[name])}" if name in files else name for name in method_names()]


def _first_line(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0]


def _protocols() -> list[str]:
    families = [load_family(file) for file in family_files().values()]
    return [name for family in families for name in family.ids()]


def _datasets() -> list[str]:
    from benchmark.data.dataset import dataset_names

    return list(dataset_names())


def _models() -> list[str]:
    presets = [load_preset(name) for name in preset_files()]
    return [f"{preset.name:<22} {preset.description}" for preset in presets]


LISTS: dict[str, Callable[[], list[str]]] = {
    "methods": _methods,
    "protocols": _protocols,
    "datasets": _datasets,
    "models": _models,
}
