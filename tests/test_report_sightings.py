"""Files are read again where anything about them changed, and not where nothing did."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import image_factory
import pytest
from record_factory import make

import reports.reading
import reports.resampling
import reports.sightings
from benchmark.record import sha256_of
from reports import build
from reports.boards import boards_of
from reports.sightings import SETTLED, Sightings, lasting, stamp


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    return path


def unreadable(content: bytes) -> str:
    pytest.fail(f"a file was read again: {content[:40]!r}")


def seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> Sightings:
    monkeypatch.setattr(reports.sightings, "SETTLED", 0)
    sightings = Sightings()
    assert sightings.digest(str(path)) == sha256_of(path.read_bytes())
    return Sightings(sightings.fresh)


def test_a_file_that_is_as_it_was_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = seen(file, monkeypatch)
    monkeypatch.setattr(reports.sightings, "sha256_of", unreadable)
    assert again.digest(str(file)) == sha256_of(b"one")
    assert not again.news


def test_content_of_the_same_size_and_time_is_told_apart(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again, before = seen(file, monkeypatch), file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert again.digest(str(file)) == sha256_of(b"two")
    assert again.news


def test_a_file_put_in_the_place_of_another_is_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"two")
    again = seen(file, monkeypatch)
    other.replace(file)
    assert again.digest(str(file)) == sha256_of(b"two")


def test_a_file_that_changed_a_moment_ago_is_not_trusted(file: Path) -> None:
    """It may change again within what the file system takes for the same moment."""
    sightings = Sightings()
    assert sightings.digest(str(file)) == sha256_of(b"one")
    assert sightings.fresh == {}


def test_a_stamp_lasts_only_if_the_file_was_left_alone_before_it_was_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the reading takes after it."""
    taken = stamp(str(file))
    assert taken is not None
    assert lasting(taken) is None
    assert lasting(None) is None
    monkeypatch.setattr(reports.sightings.time, "time_ns", lambda: max(taken[:2]) + SETTLED + 1)
    assert lasting(taken) == taken
    monkeypatch.setattr(reports.sightings.time, "time_ns", lambda: max(taken[:2]) + SETTLED)
    assert lasting(taken) is None


def test_records_and_counts_that_changed_as_they_were_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their digests are known only after all were read, when the change seems long past."""
    image_factory.write(make("mib"), tmp_path / "results", 10)
    now = time.time_ns()
    clock = [now]
    monkeypatch.setattr(reports.sightings.time, "time_ns", lambda: clock[0])
    seen = Sightings()

    def slowly(function: Callable[..., object]) -> Callable[..., object]:
        def late(*values: object) -> object:
            clock[0] += 10 * SETTLED
            return function(*values)

        return late

    monkeypatch.setattr(reports.reading, "read_file", slowly(reports.reading.read_file))
    runs = reports.reading.read_runs(tmp_path / "results", {}, 1, seen).runs
    clock[0] = now
    monkeypatch.setattr(reports.resampling, "row_draws", slowly(reports.resampling.row_draws))
    (board,) = reports.resampling.with_rank_ranges(boards_of(runs), tmp_path / "results", None, 1, seen)
    assert board.rows[0].ranges
    assert seen.fresh == {}


def test_what_was_written_is_known_and_what_is_gone_is_not(file: Path) -> None:
    sightings = Sightings()
    sightings.wrote(str(file), "its digest")
    assert sightings.digest(str(file)) == sha256_of(b"one")  # what it notes is for the next build
    next_build = Sightings(sightings.fresh)
    assert next_build.known(str(file), stamp(str(file))) == "its digest"
    file.unlink()
    assert next_build.digest(str(file)) is None
    assert stamp(str(file)) is None


def test_a_build_with_nothing_new_reads_no_record_no_counts_and_no_page_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports.sightings, "SETTLED", 0)
    for method in ("fine_tune", "mib"):
        for seed in range(2):
            image_factory.write(make(method, seed=seed), tmp_path / "results", 10)
    first = build(tmp_path / "results", tmp_path / "site")
    assert first.written > 0
    monkeypatch.setattr(reports.sightings, "sha256_of", unreadable)
    monkeypatch.setattr(reports.reading, "read_file", lambda content, name: unreadable(content))
    monkeypatch.setattr(reports.resampling, "with_ranges", lambda *_: pytest.fail("ranked again"))
    second = build(tmp_path / "results", tmp_path / "site")
    assert second.changed == ()
    assert [[row.ranges for row in board.rows] for board in second.boards] == [
        [row.ranges for row in board.rows] for board in first.boards
    ]


def test_a_dry_run_reads_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_factory.write(make("mib"), tmp_path / "results", 10)
    build(tmp_path / "results", tmp_path / "site")
    read: list[bytes] = []
    monkeypatch.setattr(
        reports.sightings, "sha256_of", lambda content: (read.append(content), sha256_of(content))[1]
    )
    assert build(tmp_path / "results", tmp_path / "site", dry=True).changed == ()
    pages = {path.read_bytes() for path in (tmp_path / "site" / "boards").rglob("mib-*.html")}
    assert pages
    assert pages <= set(read)
