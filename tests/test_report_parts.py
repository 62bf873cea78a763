"""Parts: what is written side by side, or kept from an earlier build, is what one process writes anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import image_factory
import pytest
import record_factory as factory
from record_factory import MSRC_16_5, SHAPES_4_2, make

import reports.draw
import reports.parts
from reports import build
from reports.draw import Drawing
from reports.parallel import chunks, run_jobs
from reports.specs import Spec, digest


@pytest.fixture(autouse=True, scope="module")
def quick_figures() -> Iterator[None]:
    def draw(spec: Spec) -> Drawing:
        text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"><!--{digest(spec)}--></svg>'
        return Drawing(text.encode(), digest(spec).encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.draw, "draw", draw)
        yield


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for method in ("fine_tune", "mib", "clora"):
        for seed in range(2):
            image_factory.write(make(method, seed=seed), folder, 12)
        factory.write(make(method, MSRC_16_5), folder)
    factory.write(make("fine_tune", SHAPES_4_2.joint_place()), folder)
    return folder


@pytest.fixture(scope="module")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "site"
    build(results, out, processes=1)
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_jobs_keep_their_order_and_hand_on_their_errors() -> None:
    assert run_jobs([lambda i=i: i * i for i in range(20)], 3) == [i * i for i in range(20)]  # type: ignore[misc]
    assert run_jobs([], 3) == []
    with pytest.raises(ZeroDivisionError):
        run_jobs([lambda: 1, lambda: 1 // 0, lambda: 2], 2)
    assert [list(part) for part in chunks(range(5), 2)] == [[0, 1], [2, 3], [4]]


def test_several_processes_write_what_one_writes(results: Path, site: Path, tmp_path: Path) -> None:
    summary = build(results, tmp_path / "site", processes=3)
    assert files(tmp_path / "site") == files(site)
    assert summary.written == len(summary.changed) == len(files(site))


CHANGES = {
    "one record newer": ("mib", {"commit": "another"}),
    "one run failed": ("clora", {"status": "oom", "error": "out of memory", "steps": ()}),
    "one variant more": ("mib", {"variant": "mib:distillation=100", "params": {"distillation": 100.0}}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_site_built_on_an_earlier_one_is_the_site_built_anew(
    name: str, results: Path, site: Path, tmp_path: Path
) -> None:
    changed, kept = tmp_path / "results", tmp_path / "kept"
    shutil.copytree(results, changed)
    shutil.copytree(site, kept)
    method, changes = CHANGES[name]
    for path in changed.rglob(f"{method}-*-s0*"):
        path.unlink()
    image_factory.write(replace(make(method), **changes), changed, 12)  # type: ignore[arg-type]
    summary = build(changed, kept, processes=2)
    build(changed, tmp_path / "anew")
    assert files(kept) == files(tmp_path / "anew")
    changed_pages = [p for p in summary.changed if p.startswith(("boards/", "runs/")) and p.endswith(".html")]
    assert 0 < sum("/index" not in page for page in changed_pages) <= 3  # of those of 7 variants


def test_a_page_that_depends_on_other_rows_is_written_anew(results: Path, site: Path, tmp_path: Path) -> None:
    """Without its counts by image a row has no rank range, though no record changed."""
    changed, kept = tmp_path / "results", tmp_path / "kept"
    shutil.copytree(results, changed)
    shutil.copytree(site, kept)
    next(iter(sorted(changed.rglob("mib-*.npz")))).unlink()
    summary = build(changed, kept)
    assert any(path.startswith("boards/shapes") for path in summary.changed)
    assert not any(path.startswith(("boards/msrc", "runs/")) for path in summary.changed)
    assert not any("/mib-" in path and path.startswith("boards/") for path in summary.changed)
    build(changed, tmp_path / "anew")
    assert files(kept) == files(tmp_path / "anew")


@pytest.mark.parametrize(
    "pattern", ["boards/*/mib-*.html", "boards/*/mib-*.json", "boards/*/index.html", "boards/*/*.svg"]
)
def test_a_file_that_was_touched_is_written_anew(
    pattern: str, results: Path, site: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(site, kept)
    touched, gone = sorted(kept.glob(pattern))[:2]
    touched.write_bytes(b"<script>alert(1)</script>")
    gone.unlink()
    summary = build(results, kept)
    assert set(summary.changed) == {path.relative_to(kept).as_posix() for path in (touched, gone)}
    assert files(kept) == files(site)


def test_other_code_writes_every_part_anew(
    results: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(site, kept)
    monkeypatch.setattr(reports.parts, "_code", lambda: "another")
    written: list[str] = []
    write = reports.parts.write_variant
    monkeypatch.setattr(reports.parts, "write_variant", lambda *a: (written.append(a[1].page), write(*a)))
    build(results, kept)
    assert len(written) == 7


def test_a_dry_run_names_what_differs_and_writes_nothing(results: Path, site: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(site, kept)
    assert build(results, kept, dry=True).changed == ()
    page = sorted(kept.glob("boards/*/mib-*.html"))[0]
    page.write_text("old")
    (kept / "index.html").unlink()
    before = files(kept)
    assert build(results, kept, dry=True).changed == (page.relative_to(kept).as_posix(), "index.html")
    assert files(kept) == before
    everything = build(results, tmp_path / "absent", dry=True)
    assert set(everything.changed) == set(files(site))
    assert not (tmp_path / "absent").exists()


def test_a_dry_run_names_files_that_would_be_removed(results: Path, site: Path, tmp_path: Path) -> None:
    kept, less = tmp_path / "kept", tmp_path / "less"
    shutil.copytree(site, kept)
    shutil.copytree(results, less)
    shutil.rmtree(less / MSRC_16_5.protocol)
    before = files(kept)
    summary = build(less, kept, dry=True)
    assert summary.removed > 10
    assert any(path.startswith("boards/msrc") for path in summary.changed)
    assert files(kept) == before
