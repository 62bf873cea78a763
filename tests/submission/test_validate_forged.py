"""Every rule refuses a record that was true until it was forged, and says so by its name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forgeries import FORGED, better, both, cells, raw, top
from forging import Past, Submitted, believed, copy_run, submitted

from benchmark.sources import source_digest
from benchmark.validate import RULES, Asked, Finding, validate


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return believed(tmp_path_factory.mktemp("believed"))


pytestmark = pytest.mark.usefixtures("past")


@pytest.fixture
def record(tmp_path: Path) -> Submitted:
    return submitted(tmp_path)


def findings(record: Submitted, board: Path, level: str = "error") -> list[Finding]:
    return [found for found in validate([record.folder], Asked((board,))).findings if found.level == level]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record_is_refused_by_name(name: str, record: Submitted, board: Path) -> None:
    rule, forge, says = FORGED[name]
    forge(record)
    if name == "infinite loss":
        raw("1e+308", "1e999")(record)
    found = [finding for finding in findings(record, board) if finding.rule == rule]
    assert found, findings(record, board)
    assert says in found[0].sentence
    assert found[0].file.endswith(".json") or found[0].file.endswith(".npz")


def test_every_rule_has_its_forgery() -> None:
    notes = {"bound"}  # refuses nothing
    assert {rule for rule, _, _ in FORGED.values()} == {rule.name for rule in RULES} - notes | {"schema"}


def test_the_true_record_is_not_refused(record: Submitted, board: Path) -> None:
    assert findings(record, board) == []
    assert findings(record, board, "note") == []


def test_what_no_rule_can_see_is_only_what_is_as_likely_as_the_truth(record: Submitted, board: Path) -> None:
    """Honesty about the limits: mistakes called right in both files alike are not told from the truth."""
    better(record)
    assert findings(record, board) == []


ARRAYS: dict[str, tuple[Callable[[dict[str, np.ndarray]], Any], str]] = {
    "an array missing": (lambda a: a.pop("step1_row"), "differing: step1_row"),
    "one too many": (lambda a: a.update(more=a["names"]), "differing: more"),
    "floats": (lambda a: a.update(step0_count=a["step0_count"].astype(float)), "expected a list of 'u'"),
    "two dimensions": (lambda a: a.update(step0_count=a["step0_count"][None]), "expected a list of 'u'"),
    "of other length": (lambda a: a.update(step0_count=a["step0_count"][1:]), "differ in length"),
    "an image beyond": (lambda a: a["step0_image"].__setitem__(0, 9999), "speaks of image 9999"),
    "an empty cell": (lambda a: a["step0_count"].__setitem__(0, 0), "a cell without pixels"),
    "a cell twice": (
        lambda a: [a[f"step0_{k}"].__setitem__(1, a[f"step0_{k}"][0]) for k in ("image", "row", "column")],
        "a cell of an image twice",
    ),
    "a name twice": (lambda a: a["names"].__setitem__(1, a["names"][0]), "names an image twice"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_none_are_refused(name: str, record: Submitted, board: Path) -> None:
    change, says = ARRAYS[name]
    cells(change)(record)
    (found,) = [finding for finding in findings(record, board) if finding.rule == "image file"]
    assert says in found.sentence


def header(shape: str, descr: str = "'<u2'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([print], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (header("(99999999999999,)", "'<U4'"), "its header says 99999999999999"),
        (header("(2,)", "'|u0'"), "no plain array"),
        (pickled(), "no plain array"),
        (header("(2,)", "'|V0'"), "no plain array"),
        (b"not an array", "no plain array"),
        (header("__import__('os')"), "no plain array"),
        (b"\x93NUMPY\x09\x00", "no plain array"),
    ],
)
def test_members_that_would_harm_are_refused(
    content: bytes, says: str, record: Submitted, board: Path
) -> None:
    fields = ("image", "row", "column", "count")
    names = ["names", *(f"step{step}_{field}" for step in range(3) for field in fields)]
    record.zip({f"{name}.npy": content for name in names})
    (found,) = [finding for finding in findings(record, board) if finding.rule == "image file"]
    assert says in found.sentence


def test_a_file_that_unpacks_to_too_much_is_refused(
    record: Submitted, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.validate.images.LARGEST_BYTES", 1000)
    (found,) = [finding for finding in findings(record, board) if finding.rule == "image file"]
    assert "expected at most 1000" in found.sentence


def test_without_a_complete_history_commits_and_sources_are_left_open(
    record: Submitted, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Past, "complete", False)
    both(top(commit="0" * 40), top(source_digest="1" * 64))(record)
    assert findings(record, board) == []
    assert [found.rule for found in findings(record, board, "note")] == ["commit", "source"]


def test_an_older_source_of_the_records_own_commit_is_a_note(
    record: Submitted, board: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older = tmp_path / "methods"
    older.mkdir()
    (older / "mib.py").write_text("# as it was\n")
    monkeypatch.setattr(Past, "unpack", lambda self, commit, folder, into: older)
    top(source_digest=source_digest([older / "mib.py"], [older]))(record)
    assert findings(record, board) == []
    (found,) = findings(record, board, "note")
    assert found.rule == "source" and "an older source of mib" in found.sentence


def test_two_of_one_run_are_seen_across_folders(record: Submitted, board: Path, tmp_path: Path) -> None:
    known = believed(tmp_path / "known")
    twin = copy_run(record.path, known)
    assert findings(record, known) == []  # a copy of the same file, as a bundle holds it
    top(finished="2026-11-20T20:00:00+00:00")(record)
    (found,) = findings(record, known)
    assert found.rule == "duplicate" and str(twin) in found.sentence
