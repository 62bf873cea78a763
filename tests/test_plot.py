"""Figures for papers: what they show, how wide they are, and how a wrong name is answered."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory
from click.testing import CliRunner
from record_factory import A100, H100, MSRC_11_1, MSRC_16_5, SHAPES_4_2, VOC_13_1, make
from test_report_figures import HOSTILE

from benchmark.cli import main
from benchmark.errors import RecordError
from benchmark.record import Record
from reports.boards import Board, boards_of
from reports.figures import COSTS, styles
from reports.labels import Anchor, Box, _place
from reports.labels import _cost as covered
from reports.load import Found
from reports.lookup import board_name, find_board, only
from reports.paper import WIDTHS, About, Columns, Panels, lay_out, render
from reports.plot import Request, plot
from reports.runs import scored
from reports.specs import Bars, Courses, Heat, Scatter
from reports.tables import Cell

ABOUT = About("a title", "a source")
BOARD = "shapes-4-2-overlapped/cnn-small-cpu"


def _boards(*records: Record) -> tuple[Board, ...]:
    return boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])


def _board(place: factory.Place = SHAPES_4_2, seeds: int = 1) -> Board:
    records = [make(method, place, seed) for method in factory.TRAITS for seed in range(seeds)]
    return _boards(*records, make("fine_tune", place.joint_place()))[0]


def _plot(board: Board, *request: str | None) -> Any:
    return plot(board, styles([board]), Request(*request))  # type: ignore[arg-type]


def test_forgetting_is_drawn_with_its_front_at_the_bottom_and_below_zero_where_it_is() -> None:
    board = _board(seeds=2)
    spec = _plot(board, "trade-off", "train-flops", "forgetting-points").spec
    assert isinstance(spec, Scatter)
    rows = {row.variant: row for row in board.rows}
    for point in spec.points:
        row = rows[point.label]
        assert point.y == pytest.approx(row.mean("forgetting_points"))
        assert point.y_spread == pytest.approx(row.cells["forgetting_points"].std)
        beaten = any(
            (other.mean("train_flops") or 0) <= (row.mean("train_flops") or 0)
            and (other.mean("forgetting_points") or 0) < (row.mean("forgetting_points") or 0)
            for other in board.rows
        )
        assert point.front != beaten
    assert (spec.bound, spec.y_label) == (None, "Forgetting (points)")
    low = _plot(board, "trade-off", "train_flops", "forget_score_points").spec
    bottom, top = lay_out(low, 1).axes[0].get_ylim()
    assert bottom < min(point.y for point in low.points) < 0 < top


def test_lines_of_equal_score_go_with_the_accuracy_netscore_is_made_of() -> None:
    board = _board()
    assert (
        _plot(board).spec.contours and not _plot(board, "trade-off", None, "miou_new_percent").spec.contours
    )
    assert _plot(board).spec.bound is not None


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", ["trade-off", "costs", "steps", "classes", "parts", "cost-steps"])
@pytest.mark.parametrize("place", [MSRC_11_1, SHAPES_4_2], ids=["many steps", "few"])
def test_every_kind_has_the_width_of_its_columns(kind: str, columns: Columns, place: factory.Place) -> None:
    found = _plot(_board(place), kind)
    figure = lay_out(found.spec, columns)
    assert figure.get_size_inches()[0] == WIDTHS[columns]
    kinds = {"trade-off": Scatter, "costs": Panels, "steps": Courses, "classes": Heat}
    kinds |= {"parts": Bars, "cost-steps": Courses}
    assert isinstance(found.spec, kinds[kind])
    names = {label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]}
    names |= {axes.get_title() for axes in figure.axes}
    names |= {label.get_text() for axes in figure.axes for label in axes.get_yticklabels()}
    assert {row.variant for row in _board(place).rows} <= names


def test_costs_that_are_the_same_for_all_rows_are_named_and_not_drawn() -> None:
    found = _plot(_board(), "costs")
    assert all(len({point.x for point in scatter.points}) > 1 for scatter in found.spec.scatters)
    assert "not drawn: inference MACs, deployed parameters." in found.caption
    assert "One seed a row: no spread is known." in found.caption
    assert "Mean ± standard deviation of 2 seeds." in _plot(_board(seeds=2), "costs").caption


def test_of_a_long_board_the_fronts_are_named_in_one_legend_that_fits() -> None:
    variants = [f"mib:distillation={i}.0,temperature={i}" for i in range(16)]
    board = _boards(*(make("mib", params={"distillation": i}, variant=v) for i, v in enumerate(variants)))[0]
    spread = [replace(row, cells={**row.cells, **_cost(i)}) for i, row in enumerate(board.rows)]
    found = _plot(replace(board, rows=tuple(spread)), "costs")
    assert "Named: rows on a front" in found.caption and "Named" not in _plot(_board(), "costs").caption
    figure = lay_out(found.spec, 1)
    fronts = {p.label for scatter in found.spec.scatters for p in scatter.points if p.front}
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert set(texts) == fronts and len(texts) == len(fronts)
    assert legend.get_window_extent().width <= figure.bbox.width


def _cost(place: int) -> dict[str, Cell]:
    """Each row costs another amount by every measure."""
    return {key: Cell(1e6 * (1 + place * 7 % 16), None, 1) for key in COSTS}


def test_the_same_bytes_each_time_with_text_that_is_text() -> None:
    spec = _plot(_board()).spec
    pdf = render(spec, 1, "pdf", ABOUT)
    assert pdf == render(spec, 1, "pdf", ABOUT)
    assert b"/CIDFontType2" in pdf and b"/Type3" not in pdf  # TrueType outlines with their letters
    svg = render(spec, 1, "svg", ABOUT).decode()
    assert ">fine_tune</text>" in svg and "a source" in svg
    assert render(spec, 2, "png", ABOUT).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    (board,) = _boards(make("mib", variant=name, model=name), make("sdr", model=name))
    drawn = _plot(board)
    svg = render(drawn.spec, 1, "svg", drawn.about(board, name)).decode()
    assert "<script" not in svg and "\x1b" not in svg
    assert render(_plot(board, "costs").spec, 1, "pdf", ABOUT).startswith(b"%PDF")


def test_a_name_that_could_be_anothers_point_moves_away_with_a_line() -> None:
    beside, apart = Anchor(7, 0, "left"), Anchor(20, 9, "left", near=False)
    box = Box(7, -4, 40, 4)
    alone = _place(beside, box, (0.0, 0.0), [(100.0, 0.0)])
    crowded = _place(beside, box, (0.0, 0.0), [(20.0, 6.0)])
    assert not alone.doubtful and crowded.doubtful
    page = Box(-100, -100, 100, 100)
    assert covered(alone, [], page) == 0 < covered(crowded, [], page)
    assert covered(_place(apart, box, (0.0, 0.0), [(20.0, 6.0)]), [], page) == 0
    assert Box(1, 1, 2, 2).distance(5, 5) == pytest.approx(18**0.5)
    assert Box(1, 1, 2, 2).distance(1.5, 0) == 1


def test_boards_are_found_by_name_and_told_apart_by_digest() -> None:
    one, other = make(), make(place=SHAPES_4_2, protocol_digest="ab" * 32)
    boards = _boards(one, other, make(place=MSRC_16_5))
    assert find_board(boards, "msrc-16-5-overlapped").first.dataset == "msrc"
    assert find_board(boards, f"{BOARD}@abab").first.protocol_digest == "ab" * 32
    assert board_name(find_board(boards, f"{BOARD}@abab"), boards) == f"{BOARD}@abababab"
    for name, text in [
        (BOARD, f"is one of 2; expected one of .*{BOARD}@abababab"),
        (f"{BOARD}@", "unknown board"),
        ("shapes-4-2-overlaped", f"did you mean '{BOARD}"),
    ]:
        with pytest.raises(RecordError, match=text):
            find_board(boards, name)


def test_a_choice_of_rows_keeps_their_ranks() -> None:
    board = _board()
    last = board.rows[-1]
    assert only(board, [last.variant]).rows == (last,)
    assert only(board, []).rows == board.rows
    with pytest.raises(RecordError, match=r"unknown variant of .*did you mean 'mib'"):
        only(board, ["mi"])


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (("class",), "unknown kind of figure 'class'; did you mean 'classes'"),
        (("trade-off", "train_flop"), "unknown cost 'train_flop'; did you mean 'train_flops'"),
        (("trade-off", None, "miou"), "unknown accuracy 'miou'; known: .*miou_all_percent"),
        (("steps", "train_flops"), "--x goes with --kind trade-off"),
        (("classes", None, "miou_all_percent"), "--y goes with"),
        (
            ("trade-off", "iteration_joules"),
            "iteration_joules .no energy counter on this machine, or others used its GPU.$",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence(request_: tuple[str, ...], text: str) -> None:
    with pytest.raises(RecordError, match=text) as error:
        _plot(_board(), *request_)
    assert "\n" not in str(error.value)


def test_times_across_hardware_are_refused_and_their_ratio_named() -> None:
    records = [make("fine_tune", VOC_13_1, 0, place) for place in (H100, A100)]
    (board,) = _boards(*records, make("mib", VOC_13_1, 0, H100))
    with pytest.raises(RecordError, match=r"not comparable across the 2 kinds .*; iteration_ratio is$"):
        _plot(board, "trade-off", "iteration_seconds")
    assert len(_plot(board, "trade-off", "iteration_ratio").spec.points) == 2
    (none,) = _boards(factory.failed("mib", SHAPES_4_2, "oom", "out of memory", 1))
    with pytest.raises(RecordError, match=r"no run of .* finished"):
        _plot(none)


def test_the_command_writes_figure_and_table(tmp_path: Path) -> None:
    for method in ("mib", "clora", "fine_tune"):
        factory.write(make(method), tmp_path / "results")
    where = ["--results", str(tmp_path / "results")]
    out, table = tmp_path / "figure.pdf", tmp_path / "table.tex"
    words = ["plot", BOARD, "--x", "train-flops", "--row", "mib", "--row", "clora", *where]
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--latex", str(table)])
    assert done.exit_code == 0, done.output
    pdf = out.read_bytes()
    assert pdf.startswith(b"%PDF") and b"cssbench plot" in pdf
    assert re.search(r"MediaBox \[ ?0 0 237\.6 ", pdf.decode("latin-1"))
    assert "fine" not in re.sub("caption.*", "", table.read_text()) and "clora" in table.read_text()
    printed = CliRunner().invoke(
        main, ["plot", "--protocol", "shapes-4-2-overlapped", "--latex", "-", *where]
    )
    assert printed.exit_code == 0 and printed.output.startswith("% needs")


@pytest.mark.parametrize(
    "words",
    [
        ["--protocol", "shapes-4-2-overlapped", "--model", "cnn-smal"],
        [BOARD, "--x", "nothing"],
        [BOARD, "--model", "cnn-small-cpu"],
        [BOARD, "--out", "figure.jpg"],
        [],
    ],
)
def test_a_mistake_exits_with_2_and_writes_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.write(make(), tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["plot", *words, "--results", str(tmp_path / "results")])
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
