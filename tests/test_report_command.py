"""``cssbench report``: what it prints, what it checks and how it exits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import record_factory as factory
from click.testing import CliRunner, Result
from record_factory import make

import reports.draw
import reports.load
from benchmark.cli import main
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
    factory.write(make("mib"), folder)
    yield folder


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
