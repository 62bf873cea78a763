"""The workflow on pull requests with records: what it may do and refuses, and that it runs none of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forging import ROOT, believed, committed, current_source

from benchmark.record import read_record

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RESULTS = ROOT / ".github" / "workflows" / "results.yml"
SCRIPT = ROOT / ".ci" / "results"
RECORD = "results/shapes-4-2-overlapped/cnn-small-cpu/mib-seed2-x.json"


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_have_no_secrets_and_may_only_read(path: Path) -> None:
    content = load(path)
    triggers = content[True]  # YAML's word "on"
    assert set(triggers) <= {"push", "pull_request"}
    assert content["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text(encoding="utf-8")
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps(path) if "uses" in step)
    # What a pull request is called must reach no shell but as a variable.
    assert not any("${{ github" in step.get("run", "") for step in steps(path))


def test_records_are_validated_by_the_base_and_only_there() -> None:
    assert load(RESULTS)[True] == {"pull_request": {"paths": ["results/**"]}}
    (checkout,) = [step for step in steps(RESULTS) if step.get("uses", "").startswith("actions/checkout")]
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert checkout["with"]["fetch-depth"] == 0 and checkout["with"]["persist-credentials"] is False
    assert steps(RESULTS)[-1]["run"] == '.ci/results "$BASE" "$HEAD"'
    assert not any("git checkout" in step.get("run", "") for step in steps(RESULTS))
    assert "--trust-code" not in SCRIPT.read_text(encoding="utf-8")


class Project:
    """A small clone: the script, the results of a board, and a branch for a pull request."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".ci").mkdir(parents=True)
        shutil.copy(SCRIPT, root / ".ci" / "results")
        believed(root / "results")
        (root / "README.md").write_text("base")
        self.git("init", "-q")
        self.base = self.commit()
        self.head = self.base

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(self.root), *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x", "--no-verify", "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, content: bytes = b"x") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def check(self, command: str = "echo ran") -> subprocess.CompletedProcess[str]:
        """Commit what lies there as a pull request, go back to the base, and run the script."""
        self.head = self.commit()
        self.git("checkout", "-q", self.base)
        return subprocess.run(
            [str(self.root / ".ci" / "results"), self.base, self.head],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CSSBENCH": command},
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return Project(tmp_path / "project")


def test_new_records_are_validated_beside_those_of_the_base(project: Project) -> None:
    project.write(RECORD)
    project.write(RECORD.replace(".json", ".npz"))
    project.write("results/logs/shapes-4-2-overlapped/cnn-small-cpu/mib-seed2-x.jsonl")
    done = project.check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"ran validate \S+/results --against results --recount\n", done.stdout)


def test_the_exit_code_is_that_of_validating(project: Project) -> None:
    project.write(RECORD)
    assert project.check("false").returncode == 1


def test_what_is_validated_is_what_the_pull_request_holds(project: Project) -> None:
    """The real command, on a real record that says something untrue of its cost."""
    source = committed("mib", 2)
    record = read_record(source)
    trainable = record.steps[0].parameters.trainable
    text = source.read_text(encoding="utf-8").replace(f'"trainable": {trainable}', '"trainable": 1000')
    text = text.replace(record.source_digest, current_source(record))
    project.write(f"results/shapes-4-2-overlapped/cnn-small-cpu/{source.name}", text.encode())
    images = source.with_suffix(".npz")
    project.write(f"results/shapes-4-2-overlapped/cnn-small-cpu/{images.name}", images.read_bytes())
    tool = project.root.parent / "cssbench"
    line = "from benchmark.cli import main; main()"
    tool.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c '{line}' \"$@\"\n")
    tool.chmod(0o755)
    done = project.check(str(tool))
    assert done.returncode == 1
    counted = f"{source.name}: recount: step 0: trainable parameters are 1000; counted again {trainable}"
    assert counted in done.stdout
    assert "1 record: " in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "benchmark/validate/rules.py",
        ".github/workflows/results.yml",
        ".ci/results",
        "methods/mine.py",
        "results/conftest.py",
        "results/.gitattributes",
        "results/a/b/c.py",
        "results/a/b/c/d.json",
        "results/published/x.csv",
        "results/a/b/-rf.json",
        "results/a/b/$(touch x).json",
        "results/a/b/né.json",
    ],
)
def test_anything_but_records_is_refused_by_name(name: str, project: Project) -> None:
    project.write(RECORD)
    project.write(name)
    done = project.check()
    assert done.returncode == 1 and "ran" not in done.stdout
    assert len(done.stdout.splitlines()) == 1 and ": pull request: is " in done.stdout


def test_records_are_never_edited_or_removed(project: Project) -> None:
    first, second, *_ = sorted((project.root / "results").rglob("*.json"))
    first.write_text("{}")
    second.unlink()
    done = project.check()
    assert done.returncode == 1
    assert done.stdout.count("a record is never edited") == 2


def test_links_and_programs_are_no_records(project: Project) -> None:
    project.write(RECORD)
    folder = (project.root / RECORD).parent
    (folder / "link.json").symlink_to("/etc/passwd")
    (folder / "program.json").write_text("")
    (folder / "program.json").chmod(0o755)
    done = project.check()
    assert done.returncode == 1 and "mode 120000" in done.stdout and "mode 100755" in done.stdout


def test_a_pull_request_without_records_is_refused(project: Project) -> None:
    assert project.check().returncode == 1


def test_what_the_base_gained_meanwhile_is_not_the_pull_requests(project: Project) -> None:
    start = project.base
    project.git("checkout", "-q", "-b", "later")
    project.write("README.md", b"later")
    later = project.commit()
    project.git("checkout", "-q", start)
    project.base = later
    project.write(RECORD)
    assert project.check().returncode == 0
