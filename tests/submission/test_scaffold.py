"""A new method's files: they stand as written, and nothing is written over."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmark.cli import main
from benchmark.scaffold.write import class_name
from reports.docs import read_method

ROOT = Path(__file__).parents[2]


def new_method(name: str, into: Path) -> Result:
    return CliRunner().invoke(main, ["new-method", name, "--into", str(into)])


def code_lines(path: Path) -> int:
    """Lines that are neither blank, comment nor docstring."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    prose = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    return sum(
        bool(text.strip()) and not text.lstrip().startswith("#") and n not in prose for n, text in lines
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    result = new_method("near_pull2", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def test_three_files_are_written_and_named(tmp_path: Path) -> None:
    result = new_method("near_pull2", tmp_path)
    written = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "docs/methods/near_pull2.md",
        "methods/near_pull2.py",
        "tests/adapters/test_near_pull2.py",
    ]
    assert sorted(result.stdout.splitlines()[:3]) == sorted(map(str, written))
    assert result.stdout.splitlines()[3] == f"Next: cssbench check {tmp_path / 'methods' / 'near_pull2.py'}"


def test_its_own_test_passes_the_check_included(project: Path) -> None:
    test = project / "tests" / "adapters" / "test_near_pull2.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout


def test_the_adapter_is_short_and_documents_itself(project: Path) -> None:
    path = project / "methods" / "near_pull2.py"
    assert code_lines(path) < 25
    page = read_method(path)
    assert page.title == "NearPull2: features held near the previous model's"
    assert {"Idea", "Paper", "Verified", "Departures"} <= {block.lead for block in page.blocks}
    assert [(p.name, p.default) for p in page.parameters] == [("weight", "10.0")]
    assert page.parameters[0].text


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
def test_the_linter_has_nothing_to_say(project: Path) -> None:
    for words in (["format", "--check"], ["check"]):
        ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*ruff, str(project / "methods")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fine_tune", "'fine_tune' exists already"),
        ("_hidden", "starts with an underscore"),
        ("lambda", "a word of Python's own"),
        ("match", "a word of Python's own"),
        ("2fast", "expected a small letter"),
        ("with-dash", "expected a small letter"),
        ("Loud", "expected a small letter"),
        ("naïve", "expected a small letter"),
        ("../up", "expected a small letter"),
        ("a\nb", "expected a small letter"),
        ("", "expected a small letter"),
        ("x" * 41, "40 at most"),
    ],
)
def test_a_bad_name_is_one_sentence_and_leaves_nothing(name: str, says: str, tmp_path: Path) -> None:
    result = new_method(name, tmp_path)
    assert result.exit_code == 2 and says in result.stderr
    assert result.stderr.startswith("cssbench: ") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "taken",
    ["methods/mine.py", "tests/adapters/test_mine.py", "tests/spine/test_mine.py", "docs/methods/mine.md"],
)
def test_nothing_is_written_over(taken: str, tmp_path: Path) -> None:
    path = tmp_path / taken
    path.parent.mkdir(parents=True)
    path.write_text("kept")
    result = new_method("mine", tmp_path)
    assert result.exit_code == 2 and "is not written over" in result.stderr
    assert path.read_text() == "kept"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "methods").write_text("")
    result = new_method("mine", tmp_path)
    assert result.exit_code == 2 and "is a file; expected a folder" in result.stderr


def test_class_names() -> None:
    assert [class_name(name) for name in ("ilt", "fast_ilt", "a__b2")] == ["Ilt", "FastIlt", "AB2"]
