"""Which code a record comes from, asked of checkouts made for the purpose."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmark import provenance
from benchmark.provenance import History, Source, source_of_harness


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that holds the harness."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    for folder in ("benchmark", "methods", "results", "reports"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file.py").write_text("")
    (root / "benchmark" / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(root / "benchmark" / "provenance.py"))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first", "--no-verify")
    return root


def test_a_clean_checkout_is_its_commit(checkout):
    assert source_of_harness() == Source(git(checkout, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize("name", ["methods/file.py", "benchmark/new.py", "top.txt"])
def test_a_change_shows(checkout, name):
    (checkout / name).write_text("changed")
    assert source_of_harness().dirty is True


@pytest.mark.parametrize("name", ["results/new.json", "results/file.py", "reports/site/index.html"])
def test_results_and_reports_are_no_change(checkout, name):
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed")
    assert source_of_harness().dirty is False


def test_a_harness_that_another_checkout_does_not_hold_is_unknown(checkout):
    """As when it is installed into an environment inside of one."""
    git(checkout, "rm", "-q", "--cached", "benchmark/provenance.py")
    assert source_of_harness() == Source(None, None)


def test_outside_of_a_checkout_or_without_git_nothing_is_known(tmp_path, monkeypatch, checkout):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "benchmark" / "provenance.py"))
    assert source_of_harness() == Source(None, None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(provenance, "__file__", str(checkout / "benchmark" / "provenance.py"))
    assert source_of_harness() == Source(None, None)


def test_a_state_that_cannot_be_told_is_unknown_not_clean(checkout, monkeypatch):
    ask = provenance._git
    monkeypatch.setattr(
        provenance, "_git", lambda root, *words: None if "status" in words else ask(root, *words)
    )
    assert source_of_harness() == Source(git(checkout, "rev-parse", "HEAD"), None)


def test_history_knows_what_head_comes_from_and_nothing_else(checkout, tmp_path):
    first = git(checkout, "rev-parse", "HEAD")
    git(checkout, "checkout", "-q", "-b", "aside")
    (checkout / "methods" / "file.py").write_text("aside")
    git(checkout, "commit", "-q", "-a", "-m", "aside", "--no-verify")
    aside = git(checkout, "rev-parse", "HEAD")
    git(checkout, "checkout", "-q", "-")
    history = History()
    assert history.complete
    assert history.has(first) and not history.has(aside)
    assert not any(history.has(name) for name in ("HEAD", first[:12], "0" * 40, "", "--all", f"{first}\n"))


def test_history_unpacks_a_folder_as_it_was(checkout, tmp_path):
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "methods" / "file.py").write_text("later")
    git(checkout, "commit", "-q", "-a", "-m", "later", "--no-verify")
    into = tmp_path / "into"
    into.mkdir()
    assert (History().unpack(first, "methods", into) / "file.py").read_text() == ""


def test_a_shallow_clone_and_no_checkout_have_no_complete_history(checkout, tmp_path, monkeypatch):
    for text in ("a", "b"):
        (checkout / "methods" / "file.py").write_text(text)
        git(checkout, "commit", "-q", "-a", "-m", text, "--no-verify")
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{checkout}", str(tmp_path / "clone")], check=True
    )
    for place, complete in (("checkout", True), ("clone", False), ("nowhere", False)):
        file = tmp_path / place / "benchmark" / "provenance.py"
        monkeypatch.setattr(provenance, "__file__", str(file))
        assert History().complete is complete
