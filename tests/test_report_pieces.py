"""Small parts of the report: numbers and units, docstrings, tables of runs, the terminal's table."""

from __future__ import annotations

import csv as csv_reader
import io
import json
from pathlib import Path

import pytest
import record_factory as factory
from record_factory import A100, H100, MSRC_16_5, SHAPES_4_2, VOC_13_1, make

from benchmark.errors import MethodError
from benchmark.record import Record
from reports.boards import boards_of
from reports.classes import class_table, mistakes
from reports.columns import BY_KEY, COLUMNS, GROUPS, number, spread_text, text, unit
from reports.docs import blocks, read_method
from reports.exports import board_rows, step_rows
from reports.fields import measured
from reports.load import Found, load
from reports.losscharts import loss_charts
from reports.markup import breakable, prose
from reports.runs import Run, scored
from reports.tables import as_json, csv, export
from reports.text import MOST_ROWS, board_text, render
from reports.variants import Variant


def _run(**values: object) -> Run:
    return scored(Found("run.json", make(**values)))  # type: ignore[arg-type]


def _alone(record: Record) -> Variant:
    return Variant((scored(Found("run.json", record)),))


def test_every_column_is_measured_and_every_measure_has_a_column() -> None:
    board = boards_of(
        [_run(), _run(method="fine_tune"), _run(method="fine_tune", place=SHAPES_4_2.joint_place())]
    )
    measures = set(board[0].rows[0].counted[0].measures)
    assert measures == {column.key for column in COLUMNS}
    assert {column.group for column in COLUMNS} == {group.key for group in GROUPS}


@pytest.mark.parametrize(
    ("value", "decimals", "printed"),
    [
        (0, None, "0"), (3.14159, None, "3.14"), (0.0123456, None, "0.0123"), (123.4, None, "123"),
        (1234567, None, "1\u202f234\u202f567"), (-19.44, 1, "\u221219.4"), (-0.04, 1, "0.0"),
        (66.348, 2, "66.35"),
        (1e20, None, "1.00e+20"), (1.5e-9, None, "1.50e-09"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_they_deserve(value: float, decimals: int | None, printed: str) -> None:
    assert number(value, decimals) == printed


def test_one_unit_for_a_column_and_spreads_with_the_digits_of_their_mean() -> None:
    peak = BY_KEY["peak_train_bytes"]
    assert unit(peak, [3 * 2**20, 900 * 2**20]).name == "MiB"
    assert unit(peak, [3 * 2**30, 2**34, None]).name == "GiB"
    assert unit(peak, [0, 2048]).name == "KiB"
    assert unit(peak, [0, None]).name == "B"
    assert unit(BY_KEY["iteration_seconds"], [0.5, 2]).name == "ms"
    scale = unit(peak, [12.3 * 2**20])
    assert text(peak, 12.34 * 2**20, scale) == "12.3"
    assert spread_text(peak, 12.34 * 2**20, 0.04 * 2**20, scale) == "0.0"
    assert spread_text(peak, 12.34, 0.0, scale) == spread_text(peak, None, None, scale) == ""
    assert text(peak, None, scale) == "–"


SOURCE = '''"""Toy: a method
for tests.

Idea: shift ``z`` by one <b>.
It goes on.

    loss = z + 1

    where z   logits

Paper: Nobody, arXiv 2507.19887. Departures: none.
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
Weight = Annotated[float, Field(ge=0)]
START = 2.5

class _Helper: ...

@dataclass(frozen=True)
class Toy(Method):
    """Shifts.

    More."""

    weight: Weight = START
    """Its weight.
    2.5: the paper."""
    on: Literal["mib", "plop"] = "mib"
    depth: int
    tag: ClassVar[str] = "no"
'''


def test_a_methods_page_comes_from_its_source_without_importing_it(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    path.write_text(SOURCE.replace("from dataclasses", "import absent_module\nfrom dataclasses"))
    doc = read_method(path)
    assert (doc.name, doc.title, doc.summary) == ("toy", "Toy: a method", "Shifts.")
    assert [(b.kind, b.lead) for b in doc.blocks[1:]] == [
        ("text", "Idea"), ("literal", ""), ("text", "Paper"), ("text", "Departures"),
    ]  # fmt: skip
    assert doc.blocks[1].text == "shift ``z`` by one <b>. It goes on."
    assert doc.blocks[2].text == "loss = z + 1\n\nwhere z   logits"
    assert doc.parameters == (
        ("weight", "float, ge=0", "2.5", "Its weight. 2.5: the paper."),
        ("on", "mib | plop", "mib", ""),
        ("depth", "int", "required", ""),
    )


def test_a_source_that_is_no_python_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(MethodError, match="'bad' cannot be documented"):
        read_method(tmp_path / "bad.py")
    (tmp_path / "empty.py").write_text("")
    assert read_method(tmp_path / "empty.py")[:4] == ("empty", "empty", "", ())


def test_a_lead_word_inside_a_sentence_does_not_cut_it() -> None:
    (block,) = blocks("as the Paper: says, so")
    assert (block.lead, block.text) == ("", "as the Paper: says, so")


def test_prose_escapes_before_it_marks() -> None:
    assert prose("``<script>`` & arXiv 2507.19887") == (
        '<code>&lt;script&gt;</code> &amp; <a href="https://arxiv.org/abs/2507.19887">arXiv 2507.19887</a>'
    )
    assert breakable("<a:b>") == "&lt;a:<wbr>b&gt;"


def test_class_table_of_a_run() -> None:
    lines = class_table(Variant((_run(place=MSRC_16_5),))).lines
    assert len(lines) == 21
    assert lines[0].name == "building"
    assert lines[20].cells[0].text == ""
    run = _run()
    lines = class_table(Variant((run,))).lines
    assert lines[0].name == "background"
    value = run.scores.final.iou[0]
    assert value is not None
    assert lines[0].cells[2] == (f"{100 * value:.1f}", round(10 * value), "")


def test_mistakes_are_the_largest_shares_off_the_diagonal() -> None:
    record = make()
    confusion = [[0] * 9 for _ in range(9)]
    confusion[0][0], confusion[1][0], confusion[1][1], confusion[3][7], confusion[3][3] = 10, 3, 1, 1, 3
    last = factory.replace(record.steps[-1], confusion=tuple(map(tuple, confusion)))
    found = mistakes(_alone(factory.replace(record, steps=(*record.steps[:-1], last))))
    assert found == (("disc", "background", "75.0", ""), ("triangle", "crescent", "25.0", ""))
    assert mistakes(_alone(make(finished_steps=0, status="error"))) == ()


def test_loss_charts_break_where_a_value_is_unknown() -> None:
    step = factory.replace(make().steps[0], losses={"ce": (4.0, 2.0, None, 0.0), "kd": ()})
    ce, kd = loss_charts([[step]])
    assert ce.lines == ("12.50,2.00 37.50,15.00", "87.50,28.00 87.50,28.00")
    assert (ce.low, ce.high, ce.edges) == ("0", "4.00", ())
    assert kd.lines == ()
    two = loss_charts([[step, factory.replace(step, losses={"kd": (1.0, 1.0)})]])
    assert two[0].edges == ("50.00",)
    assert two[1].lines == ("62.50,28.00 87.50,28.00",)


def test_what_no_step_knows_is_named_once() -> None:
    found = measured([make()])
    assert "energy joules" in found.unknown and found.apart == ()
    assert not set(found.unknown) & {line.name for line in found.same}
    known = {line.name: line.values for line in measured([make("mib", VOC_13_1, 0, H100)]).same}
    assert len(known["energy joules"]) == 8
    assert known["parameters · deployed"][0] == "305\u202f170\u202f000"
    assert known["checkpoint bytes"][0] == "1.14 GiB"


def test_csv_is_safe_for_spreadsheets_and_unknown_is_empty() -> None:
    content = csv(
        [{"variant": "=1+1", "x": -1.5, "y": None}, {"variant": 'a,"b"', "x": 1 / 3, "y": 2}],
        ["variant", "x", "y"],
    )
    assert list(csv_reader.reader(io.StringIO(content.decode()))) == [
        ["variant", "x", "y"], ["'=1+1", "-1.5", ""], ['a,"b"', "0.3333333333", "2"],
    ]  # fmt: skip


def test_json_is_strict_and_unknown_is_null() -> None:
    assert json.loads(as_json({"a": [1 / 3, None, "x"]})) == {"a": [0.3333333333, None, "x"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"a": float("nan")})


def test_exports_hold_the_boards_numbers() -> None:
    (board,) = boards_of([_run(), _run(seed=1), _run(method="fine_tune", place=SHAPES_4_2.joint_place())])
    joint, row = board_rows(board)
    assert (joint["role"], row["role"], row["seeds"], row["status"]) == ("joint", "method", 2, "2 ok")
    cell = board.rows[0].cells["miou_all_percent"]
    assert (row["miou_all_percent"], row["miou_all_percent_std"]) == (cell.mean, cell.std)
    steps = step_rows([_run()])
    assert [line["step"] for line in steps] == [0, 1, 2]
    assert steps[0]["iou hexagon"] is None
    assert len(step_rows([scored(Found("x", make(classes=("a",) * 8)))])[0]) == 4 + 3 + 9


def test_terminal_table_has_every_row_and_no_control_character(tmp_path: Path) -> None:
    factory.write(make(), tmp_path, "a")
    factory.write(make(variant="mib:\x1b[2J=1"), tmp_path, "b")
    factory.write(make("fine_tune", SHAPES_4_2.joint_place()), tmp_path, "c")
    factory.write(factory.failed("sdr", SHAPES_4_2, "oom", "out of memory", 0), tmp_path, "d")
    printed = render(boards_of([scored(found) for found in load(tmp_path).found]))
    assert "\x1b" not in printed
    lines = printed.splitlines()
    assert lines[0] == "shapes-4-2-overlapped on cnn-small-cpu"
    assert lines[4].split()[0] == "joint"
    assert "0, 1 oom" in next(line for line in lines if "sdr" in line)
    mib = next(line for line in lines if "mib " in line).split()
    assert mib[:2] == ["1", "mib"]
    assert f"{_run().measures['miou_all_percent']:.1f}" == mib[2]
    assert len(set(map(len, (line for line in lines if line.startswith("─"))))) == 1
    assert render([]) == "No board yet: no run was scored on a test split."


def test_terminal_table_of_a_long_board_ends_with_where_the_rest_is() -> None:
    runs = [_run(method="mib", variant=f"mib:weight={i}") for i in range(MOST_ROWS + 2)]
    (board,) = boards_of([*runs, _run(method="fine_tune", place=SHAPES_4_2.joint_place())])
    lines = board_text(board).splitlines()
    assert sum("mib:weight=" in line for line in lines) == MOST_ROWS
    assert "joint training" in lines[4]
    assert lines[-1] == f"and 2 more, on the page boards/{board.slug}/index.html"
    (whole,) = boards_of(runs[:MOST_ROWS])
    assert "more, on the page" not in board_text(whole)


def test_terminal_table_of_mixed_hardware_shows_ratios_only() -> None:
    runs = [
        _run(method=m, place=VOC_13_1, environment=gpu) for gpu in (A100, H100) for m in ("fine_tune", "mib")
    ]
    printed = render(boards_of(runs))
    assert "time" in printed
    assert "1.00" in printed


def test_both_formats_of_a_table_are_those_of_each_and_only_a_spreadsheets_text_is_made_inert() -> None:
    rows = [{"name": "=1+1", "value": 1 / 3, "count": 7}, {"name": "b", "value": None, "count": 10**12}]
    found = export(rows)
    assert found == (csv(rows, ["name", "value", "count"]), as_json(rows))
    assert json.loads(found.json)[0] == {"name": "=1+1", "value": 0.3333333333, "count": 7}
    assert found.csv.decode().splitlines() == ["name,value,count", "'=1+1,0.3333333333,7", "b,,1000000000000"]
