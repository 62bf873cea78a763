"""Finding and reading records: what is left out is named, and nothing is taken twice."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import record_factory as factory

import reports.draw
from benchmark.consistency import check
from benchmark.errors import RecordError
from benchmark.record import StepRecord
from reports import build
from reports.load import load, when


def _tamper(step: int = 0, **changes: object) -> StepRecord:
    return replace(factory.make().steps[step], **changes)  # type: ignore[arg-type]


def test_records_are_found_in_any_depth_and_in_order(tmp_path: Path) -> None:
    factory.write(factory.make("sdr"), tmp_path / "z" / "deep")
    factory.write(factory.make("mib"), tmp_path)
    loaded = load(tmp_path)
    assert [found.record.method for found in loaded.found] == ["mib", "sdr"]
    assert (
        loaded.found[0].path
        == "shapes-4-2-overlapped/cnn-small-cpu/mib-cpu-test-" + factory.sha("source of mib")[:6] + "-s0.json"
    )
    assert loaded.left_out == ()


def test_published_numbers_and_temporary_files_are_no_records(tmp_path: Path) -> None:
    factory.write(factory.make(), tmp_path / "published")
    (tmp_path / ".half.json").write_text("{")
    (tmp_path / "log.jsonl").write_text("{}")
    assert load(tmp_path) == ((), ())


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"results folder .*absent does not exist"):
        load(tmp_path / "absent")


def test_broken_records_are_named_with_a_reason_free_of_the_machines_paths(tmp_path: Path) -> None:
    good = factory.write(factory.make(), tmp_path)
    content = json.loads(good.read_text())
    broken = {
        "half.json": good.read_text()[:500],
        "list.json": "[]",
        "old.json": json.dumps(content | {"schema": 0}),
        "nan.json": good.read_text().replace('"seed": 0', '"seed": NaN'),
        "extra.json": json.dumps(content | {"score": 1}),
        "negative.json": json.dumps(content | {"epochs": -1}),
    }
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
    loaded = load(tmp_path)
    assert len(loaded.found) == 1
    assert [left.path for left in loaded.left_out] == sorted(broken)
    reasons = {left.path: left.reason for left in loaded.left_out}
    assert "is not JSON" in reasons["half.json"]
    assert "schema version 0" in reasons["old.json"]
    assert "score" in reasons["extra.json"]
    assert "epochs" in reasons["negative.json"]
    assert all(str(tmp_path) not in left.reason for left in loaded.left_out)
    assert all(str(left).startswith(f"{left.path}: ") for left in loaded.left_out)


def test_of_two_records_of_one_run_the_newest_is_kept(tmp_path: Path) -> None:
    old = factory.make(finished="2026-11-03T12:00:00+02:00")  # 10:00 UTC
    new = factory.make(finished="2026-11-03T11:00:00+00:00", commit="newer")
    factory.write(new, tmp_path, "a")
    factory.write(old, tmp_path, "b")
    loaded = load(tmp_path)
    assert [found.record.commit for found in loaded.found] == ["newer"]
    (left,) = loaded.left_out
    assert left.path.endswith("b.json")
    assert "older record of the same run as" in left.reason
    assert left.reason.endswith("a.json")


@pytest.mark.parametrize(
    "other",
    [
        factory.make(seed=1),
        factory.make(params={"distillation": 100.0}),
        factory.make(source_digest=factory.sha("edited")),
        factory.make(environment=replace(factory.CPU, threads=8)),
        factory.make(protocol_digest=factory.sha("another")),
        factory.make(split="validation"),
    ],
    ids=["seed", "hyper-parameters", "source", "hardware", "protocol", "split"],
)
def test_runs_that_differ_in_anything_that_matters_are_both_kept(
    tmp_path: Path, other: factory.Record
) -> None:
    factory.write(factory.make(), tmp_path, "a")
    factory.write(other, tmp_path, "b")
    assert len(load(tmp_path).found) == 2


FORGED = {
    "its steps add 8 classes, expected 7": {"classes": factory.SHAPES[:7]},
    "it has 2 steps with status 'ok', expected 3": {"steps": factory.make().steps[:2]},
    "its batch size is 0": {"batch_size": 0},
    "step 0: it is step 1": {"steps": factory.make().steps[1:], "status": "error"},
    "step 0: it is step 0 with rows 2 to 5, expected 1 to 4": {
        "steps": (_tamper(classes=(2, 3, 4, 5)),), "status": "error",
    },
    "step 0: its confusion matrix is 9 x 4, expected 9 x 5": {
        "steps": (_tamper(confusion=((1, 1, 1, 1),) * 9),), "status": "error",
    },
    "step 0: its row 0 has pixels": {"background": False},
    "step 0: it has a value beyond": {
        "steps": (_tamper(state_bytes=2**63),), "status": "error",
    },
}  # fmt: skip


@pytest.mark.parametrize(("fault", "changes"), FORGED.items(), ids=list(FORGED))
def test_a_record_that_contradicts_itself_is_refused_by_name(fault: str, changes: dict[str, object]) -> None:
    with pytest.raises(RecordError) as refused:
        check(factory.make(**changes))  # type: ignore[arg-type]
    assert fault in str(refused.value)


def test_counts_that_overflow_are_refused() -> None:
    huge = tuple(tuple(2**62 for _ in row) for row in factory.make().steps[0].confusion)
    with pytest.raises(RecordError, match="beyond"):
        check(factory.make(steps=(_tamper(confusion=huge),), status="error"))


def test_every_made_up_record_is_consistent() -> None:
    for record in factory.study():
        check(record)
        assert asdict(record)["schema"] == 1


def test_times_without_a_zone_are_utc_and_nonsense_is_oldest() -> None:
    assert when("2026-11-03T11:00:00") == when("2026-11-03T11:00:00Z") == when("2026-11-03T12:00:00+01:00")
    assert when("yesterday") == 0.0


ODD = {
    "steps": replace(factory.SHAPES_4_2, step_sizes=(4, 4)),
    "sizes of steps": replace(factory.SHAPES_4_2, step_sizes=(2, 4, 2)),
    "classes": replace(factory.SHAPES_4_2, step_sizes=(4, 2, 1), classes=factory.SHAPES[:7]),
    "names": replace(factory.SHAPES_4_2, classes=(*factory.SHAPES[:7], "other")),
    "background": replace(factory.SHAPES_4_2, background=False),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("method", ["mib", "sdr"])
def test_a_record_that_gives_a_digest_other_classes_or_steps_than_most_is_left_out(
    tmp_path: Path, name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)
    digest = factory.SHAPES_4_2.digest
    odd = factory.make(method, ODD[name], seed=1, protocol_digest=digest)
    factory.write(odd, tmp_path / "results", "0-odd")
    for seed in range(2):
        factory.write(factory.make("mib", seed=seed), tmp_path / "results")
    summary = build(tmp_path / "results", tmp_path / "site")
    (left,) = summary.left_out
    assert left.path.endswith("0-odd.json")
    assert left.reason == "its classes or steps are not those of most records with its protocol's digest"
    assert summary.runs == 2 and load(tmp_path / "results").left_out == summary.left_out
