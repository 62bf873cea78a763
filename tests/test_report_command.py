"""``cssbench report``: what it prints, what it checks and how it exits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory
from click.testing import CliRunner, Result
from record_factory import make

import reports.draw
import reports.load
from benchmark.cli import main
from benchmark.protocols import load_protocol
from benchmark.record import Record
from reports.draw import Drawing
from reports.specs import Spec, digest


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(spec: Spec) -> Drawing:
        text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"><!--{digest(spec)}--></svg>'
        return Drawing(text.encode(), digest(spec).encode())

    monkeypatch.setattr(reports.draw, "draw", draw)


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "results"
    factory.write(known(), folder)
    yield folder


def known(**changes: Any) -> Record:
    """A record of a protocol that ships with the project."""
    digest = load_protocol("shapes-4-2-overlapped", "cnn-small-cpu").digest
    return make("mib", **{"protocol_digest": digest, **changes})


def report(results: Path, *options: str) -> Result:
    out = str(results.parent / "site")
    return CliRunner().invoke(main, ["report", "--results", str(results), "--out", out, *options])


def test_it_prints_the_boards_what_was_left_out_and_where_the_site_is(results: Path) -> None:
    (results / "half.json").write_text("{")
    done = report(results)
    assert done.exit_code == 0, done.stderr
    assert "shapes-4-2-overlapped on cnn-small-cpu" in done.stdout
    assert done.stdout.splitlines()[-1] == str((results.parent / "site" / "index.html").resolve())
    assert done.stderr.startswith("left out: half.json: record half.json is not JSON")


def test_records_are_read_once(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    parse = reports.load.parse_record
    monkeypatch.setattr(reports.load, "parse_record", lambda *a: (read.append(a[1]), parse(*a))[1])
    assert report(results).exit_code == 0
    assert len(read) == 1


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1), (("--check", "--strict"), 1)])
def test_what_was_left_out_is_an_error_only_where_asked(
    results: Path, options: tuple[str, ...], code: int
) -> None:
    assert report(results, "--strict").exit_code == 0
    (results / "half.json").write_text("{")
    report(results)
    done = report(results, *options)
    assert done.exit_code == code
    assert "half.json" in done.stderr


def test_check_names_what_differs_and_writes_nothing(results: Path) -> None:
    site = results.parent / "site"
    absent = report(results, "--check")
    assert absent.exit_code == 1
    assert not site.exists()
    assert "not what would be built: index.html" in absent.stdout.splitlines()
    report(results)
    fresh = report(results, "--check")
    assert fresh.exit_code == 0
    assert fresh.stdout.startswith("0 of ")
    (site / "index.html").write_text("<h1>Mine is best</h1>")
    forged = report(results, "--check")
    assert forged.exit_code == 1
    assert forged.stdout.splitlines()[0] == "not what would be built: index.html"
    assert forged.stdout.splitlines()[1].startswith("1 of ")
    assert (site / "index.html").read_text() == "<h1>Mine is best</h1>"


def test_check_notices_records_that_came_and_went(results: Path) -> None:
    report(results)
    path = factory.write(make("sdr"), results)
    assert report(results, "--check").exit_code == 1
    report(results)
    path.unlink()
    assert report(results, "--check").exit_code == 1


def test_a_folder_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    done = report(tmp_path / "absent")
    assert done.exit_code == 2
    assert "does not exist" in done.stderr


def _text(**changes: Any) -> str:
    return json.dumps(asdict(known()) | changes)


def _step(**changes: Any) -> str:
    steps = [asdict(step) for step in known().steps]
    return _text(steps=[*steps[:-1], steps[-1] | changes])


BAD = {
    "truncated": (_text()[:-100], "is not JSON"),
    "empty": ("", "is not JSON"),
    "newer schema": (_text(schema=2), "schema version 2; expected 1"),
    "schema of a kind": (_text(schema=True), "schema version True"),
    "nan": (_text(epochs=float("nan")), "it holds NaN"),
    "nan in a hyper-parameter": (_text(params={"a": float("inf")}), "it holds Infinity"),
    "negative": (_step(state_bytes=-1), "greater than or equal to 0"),
    "negative pixels": (_step(confusion=[[-1] * 9] * 9), "greater than or equal to 0"),
    "huge": (_step(checkpoint_bytes=10**30), "beyond 9223372036854775807"),
    "huge seconds": (_step(latency_seconds=1e300), "beyond 9223372036854775807"),
    "too many digits": (_text(seed=0).replace('"seed": 0', '"seed": ' + "9" * 5000), "is not JSON"),
    "nested beyond reason": (_text().replace('"params": {}', '"params": ' + "[" * 99999), "is not JSON"),
    "same run": (_text(commit="older", finished="2026-11-01T00:00:00Z"), "older record of the same run"),
    "hostile": ('{"schema": "<script>alert(1)</script>"}', "schema version '<script>alert(1)</script>'"),
    "not text": ("\ufeff{}", "is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_fails_where_asked(results: Path, name: str) -> None:
    text, reason = BAD[name]
    (results / "bad.json").write_text(text, encoding="utf-8")
    done = report(results, "--strict")
    assert done.exit_code == 1
    assert done.stderr.startswith("left out: bad.json: ")
    assert reason in done.stderr
    assert len(done.stderr) < 1000
    assert report(results).exit_code == 0


def test_a_digest_that_no_protocol_here_has_is_shown_apart_and_said(results: Path) -> None:
    factory.write(known(protocol_digest=factory.sha("older"), seed=1), results, "older")
    hostile = known(protocol="../../../etc/passwd:a-b", model="/etc/hostname.toml", seed=2)
    factory.write_record(replace(hostile, protocol_digest=factory.sha("hostile")), results / "hostile.json")
    done = report(results, "--strict")
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["unknown protocol"] * 2
    assert "hostile.json: no protocol here has its names" in lines[0]
    assert "older.json: its digest is" in lines[1]
    assert done.stdout.count("shapes-4-2-overlapped on cnn-small-cpu") == 2
    pages = [path.read_text() for path in (results.parent / "site" / "boards").glob("*/index.html")]
    assert sorted("protocol not of this project" in page for page in pages) == [False, True, True]


def test_records_of_one_unknown_protocol_are_one_line(results: Path) -> None:
    for seed in (1, 2, 3):
        factory.write(known(protocol_digest=factory.sha("older"), seed=seed), results, f"older-{seed}")
    factory.write(known(protocol_digest=factory.sha("oldest"), seed=1), results, "oldest")
    older, oldest = report(results, "--strict").stderr.splitlines()
    assert older.startswith("unknown protocol: ") and "older-1.json and 2 more: its digest is" in older
    assert "oldest.json: its digest is" in oldest


def test_extreme_values_that_are_no_error_are_shown_as_they_are(results: Path) -> None:
    record = known(seed=2**63 - 1, params={"huge": 10**30, "tiny": 5e-324, "minus": -1e308})
    losses: dict[str, tuple[float | None, ...]] = {"ce": (1e308, -1e308, None, 5e-324), "none": (None, None)}
    steps = tuple(replace(step, losses=losses, latency_seconds=5e-324) for step in record.steps)
    factory.write(replace(record, steps=steps), results, "extreme")
    assert report(results, "--strict").exit_code == 0
    pages = [path.read_text() for path in (results.parent / "site" / "boards").rglob("mib-*.html")]
    (text,) = [page for page in pages if "huge = 1000000000000000000000000000000" in page]
    assert str(2**63 - 1) in text
    assert not re.search(r"\b(nan|inf)\b", text.lower())
