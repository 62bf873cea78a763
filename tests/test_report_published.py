"""Numbers from papers: read strictly, told by convention, spread by hand, beside boards, never in them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import record_factory as factory
from record_factory import MSRC_16_5, VOC_15_1, make

import reports.draw
from benchmark.errors import RecordError
from reports import build
from reports.boards import Board, boards_of
from reports.draw import draw
from reports.figures import over_steps, styles
from reports.load import Found
from reports.papersfile import read_published
from reports.published import Line, lines_of, published_points, read_papers, span
from reports.publishedpage import beside, tables
from reports.runs import scored
from reports.spread import network, spreads

RESULTS = Path(__file__).parents[1] / "results"
HEADER = "method,paper_title,year,dataset,scenario,setting,backbone,metric,classes,value,source,note"
GOOD = {
    "method": "MiB", "paper_title": "Modeling", "year": "2020", "dataset": "voc2012", "scenario": "15-1",
    "setting": "overlapped", "backbone": "DeepLabV3 ResNet-101 (in-place ABN)", "metric": "miou",
    "classes": "all", "value": "29.3", "source": "arXiv:2002.00718", "note": "Table 1",
}  # fmt: skip


def _write(folder: Path, *rows: dict[str, str], header: str = HEADER) -> Path:
    path = folder / "published" / "published_results.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        file.write(header + "\n")
        csv.writer(file, lineterminator="\n").writerows(row.values() for row in rows)
    return folder


def _lines(*changes: dict[str, str], folder: Path) -> tuple[Line, ...]:
    return lines_of(read_published(_write(folder, *(GOOD | change for change in changes))))


@pytest.fixture
def lines(tmp_path: Path) -> tuple[Line, ...]:
    """Two documents on MiB 15-1, one on FT, one that does not say its setting."""
    other = {"source": "github.com/a/b:README.md", "note": "re-run"}
    return _lines(
        {"classes": "0-15", "value": "35.0"}, {"classes": "16-20", "value": "14.0"}, {"value": "30.0"},
        other | {"classes": "1-15", "value": "38.0"}, other | {"classes": "16-20", "value": "14.0"},
        other | {"value": "32.0"},
        {"method": "FT", "value": "0.6"},
        {"method": "CLoRA", "setting": "unknown", "value": "70.13", "backbone": "ViT"},
        folder=tmp_path,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("method", ""), ("method", "  "), ("paper_title", ""), ("year", "1999"), ("year", "twenty"),
        ("dataset", "../x"), ("dataset", "VOC"), ("scenario", "15"), ("scenario", "15-1b"),
        ("setting", "offline"), ("metric", "accuracy"), ("classes", "15-1"), ("classes", "0-"),
        ("classes", "-5"), ("value", "nan"), ("value", "-1"), ("value", "100.1"), ("value", "1e1"),
        ("value", ""), ("classes", "old"), ("value", "29,3"), ("value", "\u0662"), ("source", ""),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_file_line_and_column(tmp_path: Path, column: str, value: str) -> None:
    _write(tmp_path, GOOD, GOOD | {"classes": "16-20", column: value})
    with pytest.raises(RecordError) as error:
        read_published(tmp_path)
    text = str(error.value)
    assert text.startswith(f"published/published_results.csv, line 3, column {column}: got ")
    assert "expected" in text and "\n" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: got nothing; expected the columns method, paper_title"),
        ("method,value\nMiB,3\n", "line 1: got method, value; expected the columns"),
        (f"{HEADER}\nMiB,short\n", "line 2: got 2 columns, expected 12"),
        (f"{HEADER}\n\n", "line 2: got 0 columns, expected 12"),
        (f'{HEADER}\n"open', "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = _write(tmp_path) / "published" / "published_results.csv"
    path.write_text(content)
    with pytest.raises(RecordError, match=words):
        read_published(tmp_path)


def test_what_is_no_text_or_twice_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD, GOOD) / "published" / "published_results.csv"
    with pytest.raises(RecordError, match="line 3: it repeats the line above"):
        read_published(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match="cannot be read as CSV in UTF-8"):
        read_published(tmp_path)


def test_the_projects_own_file_is_read_whole() -> None:
    values = read_published(RESULTS)
    lines = lines_of(values)
    assert len(values) == 1953
    assert sum(len(line.values) for line in lines) == 1953
    mib = [
        line for line in lines if line.first.method == "MiB" and line.first.source.endswith("MiB:voc-tab.png")
    ]
    assert {line.convention for line in mib} == {"without"}  # its authors' table leaves background out
    clora = next(
        x for x in lines if x.first.method == "CLoRA" and x.first.scenario == "15-1" and "0-15" in x.values
    )
    assert clora.first.setting == "unknown"


def test_spread_of_the_cell_known_for_it() -> None:
    """MiB 15-1 overlapped, all classes, on ResNet-101: 29.3 to 35.2 in print."""
    (cell,) = [
        s
        for s in spreads(lines_of(read_published(RESULTS)))
        if (s.method, s.network, s.dataset) == ("MiB", "DeepLabV3 ResNet-101", "voc2012")
        and (s.scenario, s.setting, s.classes) == ("15-1", "overlapped", "all")
    ]
    assert (round(cell.low, 1), round(cell.high, 1)) == (29.3, 35.2)


def test_lines_are_what_one_table_prints(lines: tuple[Line, ...]) -> None:
    assert [dict(line.values) for line in lines] == [
        {"0-15": 35.0, "16-20": 14.0, "all": 30.0},
        {"1-15": 38.0, "16-20": 14.0, "all": 32.0},
        {"all": 0.6},
        {"all": 70.13},
    ]


@pytest.mark.parametrize(
    ("values", "convention"),
    [
        ({"0-15": 35.0, "16-20": 14.0, "all": 30.0}, "with"),  # (16 * 35 + 5 * 14) / 21 = 30
        ({"1-15": 38.0, "16-20": 14.0, "all": 32.0}, "without"),  # (15 * 38 + 5 * 14) / 20 = 32
        ({"1-15": 38.0, "16-20": 14.0, "all": 32.1}, "without"),  # rounding
        ({"1-15": 38.0, "16-20": 14.0, "all": 34.8}, "all only"),  # (640 + 90.8) / 21
        ({"1-15": 38.0, "16-20": 14.0, "all": 33.0}, "unclear"),  # background would have 53
        ({"0-15": 35.0, "16-20": 14.0, "all": 33.0}, "unclear"),
        ({"all": 33.0}, "unsaid"),
        ({"16-20": 33.0}, "unsaid"),
        ({"0-15": 35.0}, "with"),
        ({"1-50": 40.0, "51-100": 30.0, "101-150": 20.0, "all": 30.0}, "without"),
    ],
)
def test_convention_by_hand(tmp_path: Path, values: dict[str, float], convention: str) -> None:
    rows = [{"classes": name, "value": f"{value}"} for name, value in values.items()]
    (line,) = _lines(*rows, folder=tmp_path)
    assert line.convention == convention


def test_spread_by_hand(lines: tuple[Line, ...]) -> None:
    found = {s.classes: s for s in spreads(lines)}
    assert set(found) == {"16-20", "all"}  # 0-15 and 1-15 are two cells, each printed once
    assert (found["all"].low, found["all"].high, found["all"].points, found["all"].distinct) == (30, 32, 2, 2)
    assert (found["16-20"].points, found["16-20"].distinct, len(found["16-20"].printed)) == (0, 1, 2)
    assert [p.convention for p in found["all"].printed] == ["with", "without"]


def test_one_document_or_two_networks_are_no_spread(tmp_path: Path) -> None:
    once = _lines({}, {"value": "31.0"}, folder=tmp_path)
    assert spreads(once) == ()
    other = {"source": "x", "backbone": "SegFormer-B2", "value": "64.8"}
    assert spreads(_lines({}, other, folder=tmp_path)) == ()
    assert network("not stated here (paper values)") == network("") == "not stated"
    assert network("DeepLabV3 ResNet-101 (in-place ABN)") == "DeepLabV3 ResNet-101"


def test_ranges() -> None:
    assert span("all") is None
    assert [span(text) for text in ("20", "0-15")] == [(20, 20), (0, 15)]
    assert [found.classes for text in ("20", "0-15") if (found := span(text))] == [1, 16]


def _board(*records: object) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])  # type: ignore[arg-type]
    return board


def test_published_points_say_what_may_stand_beside_a_board(lines: tuple[Line, ...]) -> None:
    points = published_points(_board(make("mib", VOC_15_1)), lines)
    assert [(p.label, p.method, p.all, p.old, p.new, p.comparable) for p in points] == [
        ("MiB", "mib", 30.0, 35.0, 14.0, True),
        ("MiB", "mib", 32.0, 38.0, 14.0, False),
        ("FT", "fine_tune", 0.6, None, None, False),
    ]  # not CLoRA's, whose setting is not stated
    assert published_points(_board(make("mib", MSRC_16_5)), lines) == ()
    disjoint = replace(make("mib", VOC_15_1), setting="disjoint")
    assert published_points(_board(disjoint), lines) == ()


def test_the_figure_has_open_markers_only_of_the_same_classes(lines: tuple[Line, ...]) -> None:
    board = _board(make("mib", VOC_15_1), make("sdr", VOC_15_1))
    style = styles([board])
    spec = over_steps(board, style, published_points(board, lines))
    assert spec is not None
    by_panel = [[(m.label, m.value) for m in panel.papers] for panel in spec.panels]
    assert by_panel == [[("MiB", 30.0)], [("MiB", 35.0)], [("MiB", 14.0), ("MiB", 14.0)]]
    assert spec.panels[0].papers[0].style == style["mib"]
    alone = _board(make("plop", VOC_15_1))
    other = over_steps(alone, styles([alone]), published_points(alone, lines))
    assert other is not None and other.panels[0].papers[0].style.marker == "_"  # of no row of the board
    assert b"<!-- papers -->" in draw(spec).svg  # the name of their column
    assert b"<!-- papers -->" not in draw(over_steps(board, style) or spec).svg


def test_tables_put_a_boards_own_convention_first(lines: tuple[Line, ...]) -> None:
    assert [t.convention for t in tables(lines)] == ["with", "without", "unsaid"]
    assert [t.convention for t in tables(lines, "without")] == ["without", "with", "unsaid"]
    shown = beside(_board(make("mib", VOC_15_1)), lines)
    assert shown is not None and shown.drawn
    assert [(g.setting, g.count) for g in shown.groups] == [("overlapped", 3), ("unknown", 1)]
    assert "vit-large, samvit.sa1b, 512 pixels" in shown.measured
    assert beside(_board(make("mib", MSRC_16_5)), lines) is None


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = reports.draw.Drawing(b'<svg viewBox="0 0 4 3"/>', b"png")
    monkeypatch.setattr(reports.draw, "draw", lambda spec: drawing)


@pytest.mark.usefixtures("quick")
def test_a_site_with_and_without_published_numbers(tmp_path: Path) -> None:
    results = tmp_path / "results"
    factory.write(make("mib", VOC_15_1), results)
    (board,) = build(results, tmp_path / "without").boards
    assert not (tmp_path / "without" / "published").exists()
    home = (tmp_path / "without" / "index.html").read_text()
    assert "published/index.html" not in home
    shutil.copytree(RESULTS / "published", results / "published")
    site = tmp_path / "site"
    summary = build(results, site)
    assert summary.left_out == ()
    assert len(summary.boards) == summary.runs == 1
    page = (site / "boards" / board.slug / "index.html").read_text()
    ranking, _, below = page.partition('id="published"')
    assert "Class Similarity Weighted" in below
    assert "REMINDER" not in ranking
    mib = next((site / "methods").glob("mib-*.html")).read_text()
    assert 'PASCAL VOC 2012 15-1, overlapped</a> <span class="unit">8 lines' in mib
    assert json.loads((site / "boards" / board.slug / "table.json").read_text())[0]["variant"] == "mib"
    values = json.loads((site / "published" / "published.json").read_text())
    assert len(values) == 1953
    first = (site / "published" / "index.html").read_text()
    assert "None was measured here" in first
    assert "sortable" not in first  # the site ranks none of it
    for path in (site / "published").glob("*.html"):
        assert "sortable" not in path.read_text()


@pytest.mark.usefixtures("quick")
def test_published_pages_follow_their_file(tmp_path: Path) -> None:
    results, site = tmp_path / "results", tmp_path / "site"
    again = GOOD | {"source": "elsewhere", "value": "31.0"}
    _write(results, GOOD, again)
    build(results, site)
    assert "29.3" in next((site / "published").glob("voc2012-*.html")).read_text()
    assert build(results, site).written == 0
    _write(results, GOOD | {"value": "28.1"}, again)
    build(results, site)
    page = next((site / "published").glob("voc2012-*.html")).read_text()
    assert "28.1" in page and "29.3" not in page
    shutil.rmtree(results / "published")
    build(results, site)
    assert not (site / "published").exists()


@pytest.mark.usefixtures("quick")
def test_hostile_and_broken_published_numbers(tmp_path: Path) -> None:
    results, site = tmp_path / "results", tmp_path / "site"
    evil = "<script>alert(1)</script>"
    again = GOOD | {"source": f"{evil}2", "value": "31.0"}
    hostile = {
        "method": evil,
        "paper_title": evil,
        "backbone": evil,
        "source": 'arXiv:x" onclick=',
        "note": evil,
    }
    _write(results, GOOD | hostile, again | {"method": evil, "backbone": evil})
    factory.write(make("mib", VOC_15_1), results)
    summary = build(results, site)
    assert summary.left_out == ()
    for path in (site).rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text and 'onclick="' not in text
    assert "&lt;script&gt;alert" in (site / "published" / "index.html").read_text()
    _write(results, GOOD | {"value": "129.3"})
    papers = read_papers(results)
    assert papers.values == () and "column value" in papers.left_out[0].reason
    broken = build(results, site)
    assert [left.path for left in broken.left_out] == ["published/published_results.csv"]
    assert not (site / "published").exists()
    assert "line 2, column value" in (site / "index.html").read_text().replace("<wbr>", "")
