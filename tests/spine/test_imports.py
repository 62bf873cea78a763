"""Who may import and name whom: methods see little of the harness, the harness knows no method."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.finding import method_files

ROOT = Path(__file__).parents[2]
FOR_METHODS = {"benchmark.method", "benchmark.model", "benchmark.losses"}
WITHOUT_TORCH = [
    "benchmark.errors",
    "benchmark.protocol",
    "benchmark.protocols",
    "benchmark.preset",
    "benchmark.record",
    "benchmark.metrics",
    "benchmark.finding",
    "benchmark.listing",
    "benchmark.seeding",
    "benchmark.data.dataset",
]
BOARD = '"clora"'  # one of the three boards of NetScore bears a method's name
OF_BOARDS = {"metrics.py", "estimate.py", "estimate_text.py"}
COMMON = {"frozen"}  # a word of dataclasses and of networks: only as a whole string does it name the method


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names of modules a file imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            yield str(node.module)
            if node.module in ("benchmark", "methods", "reports"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sources("methods"), ids=lambda path: path.stem)
def test_a_method_sees_of_the_harness_what_is_meant_for_it(path):
    seen = {name for name in imported(parse(path)) if name.partition(".")[0] == "benchmark"}
    assert seen <= FOR_METHODS
    assert not [name for name in imported(parse(path)) if name.partition(".")[0] == "reports"]


@pytest.mark.parametrize("folder", ["benchmark", "reports", "protocols"])
def test_nothing_else_imports_a_method(folder):
    for path in sources(folder):
        assert not [name for name in imported(parse(path)) if name.partition(".")[0] == "methods"], path


def test_no_script_hides_a_package_of_ours():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}  # beside what a script imports first
    assert scripts and not scripts & {"benchmark", "methods", "protocols", "reports"}


def test_the_harness_does_without_the_report_but_for_its_commands():
    using = {
        p.parent.name for p in sources("benchmark") for n in imported(parse(p)) if n.startswith("reports")
    }
    assert using <= {"commands"}


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the constants that are docstrings, of modules, classes, functions and attributes."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    prose = [line.value for body in bodies for line in body if isinstance(line, ast.Expr)]
    return {id(value) for value in prose if isinstance(value, ast.Constant)}


def words(tree: ast.AST) -> Iterator[str]:
    """Identifiers and strings of a file's code, docstrings apart."""
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield f'"{node.value}"'
        for field in ("id", "attr", "name", "arg"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def names_a_method(word: str, name: str) -> bool:
    if word.startswith('"'):
        text = word.strip('"')
        return bool(re.search(rf"(?<![\w-]){name}(?![\w-])", text)) if name not in COMMON else text == name
    parts = re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()
    return name not in COMMON and bool(re.search(rf"(^|_){name}(_|$)", parts) or word.lower() == name)


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("is_clora", "clora", True),
        ("CLoRA", "clora", True),
        ("use_fine_tune", "fine_tune", True),
        ('"clora"', "clora", True),
        ('"clora:rank=16"', "clora", True),
        ('"method fine_tune was"', "fine_tune", True),
        ('"frozen"', "frozen", True),
        ("frozen", "frozen", False),
        ('"a frozen model"', "frozen", False),
        ("size", "si", False),
        ('"rw-rw"', "rw", False),
        ("forward", "rw", False),
        ("mibibyte", "mib", False),
    ],
)
def test_how_a_name_is_recognised(word, name, expected):
    assert names_a_method(word, name) == expected


@pytest.mark.parametrize("path", sources("benchmark"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_harness_names_no_method(path):
    said = [word for word in words(parse(path)) if not (word == BOARD and path.name in OF_BOARDS)]
    assert not [(word, name) for word in said for name in method_files() if names_a_method(word, name)]


def without(packages: set[str], modules: list[str]) -> None:
    line = f"import {', '.join(modules)}; import sys; print(sorted({packages!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout


def test_protocols_records_and_metrics_need_no_torch():
    without({"torch", "timm", "torchvision", "accelerate", "pandas", "matplotlib"}, WITHOUT_TORCH)


def test_the_report_needs_no_torch():
    modules = [f"reports.{path.stem}" for path in sources("reports") if path.stem != "__init__"]
    without({"torch", "timm", "torchvision", "accelerate", "methods"}, ["reports", *modules])


def test_importing_the_command_imports_nothing_heavy():
    without({"torch", "timm", "numpy", "pydantic", "pandas", "matplotlib"}, ["benchmark", "benchmark.cli"])
