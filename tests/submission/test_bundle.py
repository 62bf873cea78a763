"""A bundle's files: whole or not at all, and what the form says of each run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from forging import committed

from benchmark.check import Report as Checked
from benchmark.check import Verdict
from benchmark.errors import RecordError
from benchmark.finding import find_method
from benchmark.record import read_record
from benchmark.submit import bundle
from benchmark.submit.bundle import write_bundle
from benchmark.validate import Finding, Report
from benchmark.validate.reading import Subject

CHECKED = Checked("clora", (Verdict("contract", "pass", ""), Verdict("restore", "skipped", "no step 1")))
VALIDATED = Report(1, (Finding("x.json", "bound", "far above", "note"),))


def subject(variant: str, seed: int) -> Subject:
    path = committed(variant, seed)
    return Subject(path, read_record(path))


def test_all_a_digest_covers_comes_along(tmp_path: Path) -> None:
    made = write_bundle(
        tmp_path / "out", find_method("clora:on=plop"), [subject("clora", 0)], CHECKED, VALIDATED
    )
    assert made.known and made.records == 1
    adapters = sorted(path.name for path in (tmp_path / "out" / "adapter").iterdir())
    assert {"clora.py", "plop.py", "_on_top.py", "_lora.py"} <= set(adapters) and "mib.py" not in adapters
    form = (tmp_path / "out" / "SUBMISSION.md").read_text(encoding="utf-8")
    assert "# clora:on=plop\n" in form and "`_lora.py`" in form
    assert "kept 1 of 2 rules; skipped: restore (no step 1)." in form and "- bound: far above" in form


def test_scores_in_the_form_are_those_of_the_matrices(tmp_path: Path) -> None:
    """mIoU by hand: the intersection over the union of each row and its column, future classes left out."""
    one = subject("mib", 0)
    matrix = one.record.steps[-1].confusion
    iou = [
        matrix[c][c] / (sum(matrix[c]) + sum(row[c] for row in matrix) - matrix[c][c])
        for c in range(len(matrix))
    ]
    write_bundle(tmp_path / "out", find_method("mib"), [one], CHECKED, VALIDATED)
    form = (tmp_path / "out" / "SUBMISSION.md").read_text(encoding="utf-8")
    assert f"| cnn-small-cpu | 0 | ok | {100 * sum(iou) / len(iou):.1f} |" in form


def test_a_failed_run_is_in_the_form_without_scores(tmp_path: Path) -> None:
    good = subject("mib", 0)
    failed = replace(good.record, status="oom", error="out of memory", images_file=None, steps=())
    write_bundle(tmp_path / "out", find_method("mib"), [Subject(good.path, failed)], CHECKED, VALIDATED)
    form = (tmp_path / "out" / "SUBMISSION.md").read_text(encoding="utf-8")
    assert "| 0 | oom | – | – | – | – |" in form
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*parts: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(bundle, "_form", broken)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(tmp_path / "out", find_method("mib"), [subject("mib", 0)], CHECKED, VALIDATED)
    assert list(tmp_path.iterdir()) == []


def test_what_came_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RecordError, match="has come to exist meanwhile"):
        write_bundle(tmp_path / "out", find_method("mib"), [subject("mib", 0)], CHECKED, VALIDATED)
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_a_table_stays_one() -> None:
    assert [bundle._cell(value) for value in (None, 1.25, "a|b", 3)] == ["–", "1.2", "a\\|b", "3"]
