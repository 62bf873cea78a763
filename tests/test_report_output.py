"""Files of a site: made where there are none, replaced whole where there are, no link is written through."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.output import Output


def test_a_new_file_gets_its_folders_and_an_equal_one_is_left_alone(tmp_path: Path) -> None:
    Output(tmp_path / "site").write("a/b/page.html", b"one")
    page = tmp_path / "site/a/b/page.html"
    before = page.stat().st_mtime_ns
    again = Output(tmp_path / "site")
    again.write("a/b/page.html", b"one")
    assert (again.tally.changed, again.tally.unchanged) == ([], 1)
    assert (page.read_bytes(), page.stat().st_mtime_ns) == (b"one", before)
    again.write("a/b/page.html", b"two")
    assert page.read_bytes() == b"two"
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_replaced_and_what_it_leads_to_is_not_touched(tmp_path: Path, there: bool) -> None:
    other = tmp_path / "other.html"
    if there:
        other.write_bytes(b"mine")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/page.html").symlink_to(other)
    Output(tmp_path / "site").write("page.html", b"one")
    assert (tmp_path / "site/page.html").read_bytes() == b"one"
    assert not (tmp_path / "site/page.html").is_symlink()
    assert other.exists() == there
    assert not there or other.read_bytes() == b"mine"


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    output = Output(tmp_path / "site", dry=True)
    output.write("a/page.html", b"one")
    assert output.tally.changed == ["a/page.html"]
    assert not (tmp_path / "site").exists()
