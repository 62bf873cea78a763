"""The whole site: same bytes for the same records, every link leads somewhere, hostile text is inert."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import image_factory
import pytest
import record_factory as factory
from record_factory import SHAPES_4_2, VOC_13_1, make

import reports.draw
from benchmark.errors import RecordError
from benchmark.record import Environment, Record, StepRecord
from reports import BuildSummary, build
from reports.draw import Drawing
from reports.specs import Spec, digest

DRAW = reports.draw.draw

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
SAFE = ("https://arxiv.org/abs/", "#")
VOID = {"meta", "link", "img", "input", "rect", "line", "polyline", "wbr", "br"}


class Page(HTMLParser):
    """What a browser would act on: tags, attributes, ids, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"<{tag}> closed out of turn"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


@pytest.fixture(autouse=True, scope="module")
def quick_figures() -> Iterator[None]:
    """Figures as bytes of their spec: the drawing itself is tested elsewhere, and below in one small site."""

    def draw(spec: Spec) -> Drawing:
        text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 360"><!--{digest(spec)}--></svg>'
        return Drawing(text.encode(), digest(spec).encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.draw, "draw", draw)
        yield


def test_figures_are_the_same_bytes_in_two_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports.draw, "draw", DRAW)
    factory.write(make("mib"), tmp_path / "results")
    build(tmp_path / "results", tmp_path / "a")
    build(tmp_path / "results", tmp_path / "b")
    files = _files(tmp_path / "a")
    assert files == _files(tmp_path / "b")
    drawn = [content for name, content in files.items() if name.endswith(".png")]
    assert len(drawn) > 5
    assert all(content.startswith(b"\x89PNG") for content in drawn)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for seed in range(2):
        for method in ("fine_tune", "mib", "clora"):
            factory.write(make(method, seed=seed), folder)
    factory.write(make("fine_tune", SHAPES_4_2.joint_place()), folder)
    factory.write(factory.failed("ewc", SHAPES_4_2, "diverged", "loss is not finite\nat step 1", 1), folder)
    factory.write(make("mib", VOC_13_1, environment=factory.A100), folder)
    factory.write(make("mib", split="validation", protocol_digest=factory.sha("validation")), folder)
    (folder / "half.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildSummary]:
    out = tmp_path_factory.mktemp("out") / "site"
    return out, build(results, out)


@pytest.fixture(scope="module")
def pages(site: tuple[Path, BuildSummary]) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site[0].rglob("*.html"))}


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_summary_says_what_was_done(site: tuple[Path, BuildSummary]) -> None:
    out, summary = site
    assert summary.index == out / "index.html"
    assert summary.runs == 10
    assert len(summary.boards) == 2
    assert [(left.path, "is not JSON" in left.reason) for left in summary.left_out] == [("half.json", True)]
    assert summary.written == len(_files(out))


def test_same_records_same_bytes_wherever_they_lie(
    site: tuple[Path, BuildSummary], results: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "results"
    moved.mkdir(parents=True)
    for path in sorted(results.rglob("*.json"), reverse=True):
        target = moved / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    build(moved, tmp_path / "site")
    assert _files(tmp_path / "site") == _files(site[0])


def test_a_second_build_writes_nothing_and_a_smaller_one_leaves_nothing_stale(
    results: Path, site: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    out, less = tmp_path / "site", tmp_path / "less"
    shutil.copytree(site[0], out)
    (out / "mine.txt").write_text("not the report's")
    again = build(results, out)
    assert (again.written, again.removed) == (0, 0)
    shutil.copytree(results, less)
    shutil.rmtree(less / VOC_13_1.protocol)
    fewer = build(less, out)
    assert fewer.removed > 10
    assert not list(out.rglob("*voc-13-1*"))
    assert (out / "mine.txt").is_file()
    fresh = tmp_path / "fresh"
    build(less, fresh)
    (out / "mine.txt").unlink()
    assert _files(out) == _files(fresh)


def test_a_manifest_cannot_have_files_elsewhere_removed(results: Path, tmp_path: Path) -> None:
    out, precious = tmp_path / "site", tmp_path / "precious.txt"
    precious.write_text("keep")
    out.mkdir()
    wanted = {"../precious.txt": "0", str(precious): "0"}
    (out / "site.json").write_text(json.dumps({"files": wanted, "figures": 3}))
    build(results, out)
    assert precious.is_file()


def test_every_link_image_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    ids = {path: page.all("id") for path, page in pages.items()}
    for path, page in pages.items():
        assert len(ids[path]) == len(set(ids[path])), f"{path}: an id twice"
        for link in [*page.all("href"), *page.all("src")]:
            if link.startswith("https://arxiv.org/abs/"):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path.resolve()
            assert target.is_file(), f"{path}: {link}"
            if anchor:
                assert anchor in ids[next(p for p in pages if p.resolve() == target)], f"{path}: {link}"


def test_every_page_is_whole_accessible_and_locked_down(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert page.open == [], path
        metas = [attrs for tag, attrs in page.tags if tag == "meta"]
        assert [m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy"] == [POLICY]
        assert page.tags[0] == ("html", {"lang": "en"})
        assert sum(tag == "h1" for tag, _ in page.tags) == 1
        assert page.all("style") == []
        scripts = [attrs for tag, attrs in page.tags if tag == "script"]
        assert any((attrs["src"] or "").endswith("assets/site.js") for attrs in scripts)
        assert all("defer" in attrs and set(attrs) == {"src", "defer"} for attrs in scripts)
        assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
        assert all(attrs.get("alt") is not None for tag, attrs in page.tags if tag == "img")
        assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th"), path
        assert ("a", {"class": "skip", "href": "#main"}) in page.tags
        assert len(path.read_bytes()) < 3_000_000


def test_the_board_shows_numbers_units_failures_and_ways_to_the_runs(
    site: tuple[Path, BuildSummary], pages: dict[Path, Page]
) -> None:
    out, summary = site
    board = next(b for b in summary.boards if b.first.protocol == SHAPES_4_2.protocol)
    page = pages[out / "boards" / board.slug / "index.html"]
    for words in (
        "synthetic images", "CPU-size model", "joint training", "upper bound, not ranked", "1\u2009diverged",
        "loss is not finite", "Ranked by NetScore", "AMD EPYC 7543, 2 threads",
        "NetScore, with what goes into it",
    ):  # fmt: skip
        assert words in page.text, words
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    for row in board.rows:
        assert f"{row.runs[0].run.page.rpartition('/')[2]}.html" in links
        value = row.mean("miou_all_percent")
        assert value is None or f"{value:.1f}" in page.text
    table = json.loads((out / "boards" / board.slug / "table.json").read_text())
    assert [row["variant"] for row in table] == ["fine_tune", *(row.variant for row in board.rows)]
    assert "unknown: no energy counter on this machine, or others used its GPU" in page.text


def test_the_page_of_a_variant_has_every_field_of_its_record(
    site: tuple[Path, BuildSummary], pages: dict[Path, Page], results: Path
) -> None:
    out, summary = site
    run = next(m.run for row in summary.boards[0].rows for m in row.runs if row.method == "ewc")
    page = pages[out / f"{run.page}.html"]
    shown_apart = {
        "steps",
        "environment",
        "error",
        "confusion",
        "losses",
        "index",
        "classes",
        "energy_joules",
    }
    for kind in (Record, Environment, StepRecord):
        for field in fields(kind):
            if field.name not in shown_apart:
                assert field.name.replace("_", " ") in page.text, field.name
    assert "loss is not finite\nat step 1" in page.text
    assert "cross_entropy" in page.text
    assert (out / f"{run.stem}.json").read_bytes() == (results / run.path).read_bytes()


def test_tuning_runs_and_what_was_left_out_are_named_on_the_first_page(pages: dict[Path, Page]) -> None:
    text = next(
        page.text for path, page in pages.items() if path.name == "index.html" and path.parent.name == "site"
    )
    assert "Tuning runs, on no board" in text
    assert "half.json" in text
    assert "is not JSON" in text


HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "\u202etxt.exe",
    "../../../etc/passwd",
    "a" * 5000,
    "</title></head>&lt;b&gt;'`$\\frac{",
)  # fmt: skip


def _hostile(text: str) -> Record:
    """Hostile in everything a method or a machine can name."""
    record = make(method=text, params={text: text}, environment=replace(factory.CPU, cpu=text))
    steps = tuple(replace(step, losses={text: (1.0, 2.0)}) for step in record.steps)
    return replace(
        record, steps=steps, command=text, started=text, finished=text, commit=text, images_file=text
    )


def _hostile_place(text: str) -> Record:
    """Hostile in everything a protocol can name."""
    names = (text, *factory.SHAPES[1:])
    return replace(
        make(), classes=names, protocol=text, model=text, dataset=text, joint_protocol=text, pretrained=text,
        protocol_digest=factory.sha(text),
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    results, out = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("out") / "site"
    for index, text in enumerate(HOSTILE):
        record = _hostile(text)
        factory.write_record(record, results / f"{index}.json")
        failed = replace(record, status="error", error=f"{text}\n{text}", steps=(), seed=1)
        factory.write_record(failed, results / f"{index}-failed.json")
        factory.write_record(_hostile_place(text), results / f"{index}-place.json")
    (results / '<img src=x onerror="alert(1)">.json').write_text("<script>alert(1)</script>")
    summary = build(results, out)
    assert summary.runs == 3 * len(HOSTILE)
    assert len(summary.left_out) == 1
    yield out


def test_hostile_text_is_inert_on_every_page(hostile: Path) -> None:
    seen = set()
    for path in sorted(hostile.rglob("*.html")):
        page = Page(path.read_text(encoding="utf-8"))
        assert page.open == [], path
        assert all("src" in attrs for tag, attrs in page.tags if tag == "script"), path
        assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")], path
        assert not [link for link in page.all("href") if ":" in link and not link.startswith(SAFE)], path
        assert not [s for s in page.all("src") if s == "x"], path
        assert "49" not in page.text or "{{" in page.text or "7*7" not in page.text
        seen |= {text for text in HOSTILE if text in page.text}
    assert seen == set(HOSTILE)  # shown as it is, to whoever wants to read it


def test_hostile_text_never_leaves_the_folder(hostile: Path) -> None:
    for path in hostile.rglob("*"):
        assert hostile.resolve() in path.resolve().parents
        assert len(path.name) < 120


def test_rank_ranges_are_on_the_board_and_in_its_files_or_their_absence_is_explained(tmp_path: Path) -> None:
    for seed in range(2):
        image_factory.write(make("mib", seed=seed), tmp_path / "results")
    image_factory.write(make("plop"), tmp_path / "results")
    factory.write(make("fine_tune"), tmp_path / "results")
    (board,) = build(tmp_path / "results", tmp_path / "site").boards
    folder = tmp_path / "site" / "boards" / board.slug
    rows = {row["variant"]: row for row in json.loads((folder / "table.json").read_text())}
    for row in board.rows:
        for key in ("miou_all_percent", "netscore_train"):
            ends = [rows[row.variant][f"rank_range_{key}_{end}"] for end in ("low", "high")]
            assert ends == list(row.ranges.get(key, (None, None)))
    assert "no counts by image" in rows["fine_tune"]["rank_range_unknown"]
    assert rows["mib"]["rank_range_unknown"] is None
    page = Page((folder / "index.html").read_text())
    cells = [attrs for tag, attrs in page.tags if tag == "td" and attrs.get("class") == "range"]
    notes = [str(cell["title"]) for cell in cells]
    assert sum("test images and seeds" in note for note in notes) == 1
    assert sum("its one seed tells nothing of seeds" in note for note in notes) == 1
    assert [("data-v" in cell) for cell, note in zip(cells, notes, strict=True) if "no counts" in note] == [
        False
    ]
    assert page.text.count("a single seed: chance between seeds is unknown") == 2


def test_a_site_without_records_says_so(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    summary = build(tmp_path / "results", tmp_path / "site")
    assert summary.boards == ()
    assert "No board yet" in Page(summary.index.read_text()).text
    with pytest.raises(RecordError, match="does not exist"):
        build(tmp_path / "absent", tmp_path / "site")


def test_a_method_whose_source_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "bad.py").write_text("def (")
    summary = build(tmp_path / "results", tmp_path / "site", methods={"bad": tmp_path / "bad.py"})
    assert [left.path for left in summary.left_out] == ["methods/bad.py"]


def test_no_module_of_the_report_imports_torch() -> None:
    code = (
        "import importlib, pkgutil, sys, reports, benchmark.metrics, benchmark.record;"
        "[importlib.import_module(m.name) for m in pkgutil.iter_modules(reports.__path__, 'reports.')];"
        "assert 'reports.draw' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_site_below_the_results_is_not_read_as_results(tmp_path: Path) -> None:
    for seed in range(2):
        image_factory.write(make("mib", seed=seed), tmp_path, 5)
    first = build(tmp_path, tmp_path / "site")
    again = build(tmp_path, tmp_path / "site")
    assert (first.runs, again.runs, again.written, again.left_out) == (2, 2, 0, ())
    assert all(row.ranges for board in again.boards for row in board.rows)
    (tmp_path / "site" / "index.html").unlink()
    assert len(build(tmp_path, tmp_path / "other").left_out) > 2  # no site any more: nothing is passed over
