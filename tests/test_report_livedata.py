"""What a board hands to its scripts: counts that are exact or absent, joins, and text that stays text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import record_factory as factory
from browser_site import quick_build
from record_factory import SHAPES_4_2, make

from benchmark.record import Record
from reports import livedata
from reports.boards import Board, boards_of
from reports.figures import styles
from reports.livedata import board_data, script
from reports.load import Found
from reports.runs import scored
from reports.statistics import EXACT, board_counts, step_counts


def _board(*records: Record) -> Board:
    (board,) = boards_of([scored(Found(f"{i}.json", record)) for i, record in enumerate(records)])
    return board


def test_counts_of_a_matrix_by_hand() -> None:
    step = make().steps[0]
    small = replace(step, confusion=((5, 1), (2, 7), (3, 4), (0, 6)))
    assert step_counts(small) == ((5, 7), (8, 10), (3, 10))
    assert step_counts(replace(step, confusion=((5, 1), (2, 7)))).future == ()


def test_counts_that_a_browser_would_round_are_absent_not_rounded() -> None:
    record = make()
    (exact,) = board_counts(_board(record))["rows"][0]
    assert exact is not None
    huge = tuple(
        tuple(EXACT if (i, j) == (1, 1) else v for j, v in enumerate(row))
        for i, row in enumerate(record.steps[0].confusion)
    )
    steps = (replace(record.steps[0], confusion=huge), *record.steps[1:])
    assert board_counts(_board(replace(record, steps=steps)))["rows"] == [[None]]


def test_joint_counts_stand_in_the_boards_order_of_classes() -> None:
    place = SHAPES_4_2.joint_place()
    joint = make("fine_tune", place)
    turned = replace(joint, classes=tuple(reversed(joint.classes)))
    (straight, _), (back, _) = (
        board_counts(boards_of([scored(Found("a", make())), scored(Found("b", each))])[0])["rows"]
        for each in (joint, turned)
    )
    for own, other in zip(straight[0][0][:2], back[0][0][:2], strict=True):
        assert other == (own[0], *reversed(own[1:]))


def test_a_row_is_joined_to_the_one_it_works_on_top_of() -> None:
    board = _board(
        make("plop"), make("mib"), make("clora", params={"on": "plop"}), make("clora"),
        make("clora", params={"on": "ilt"}), make("fine_tune"),
    )  # fmt: skip
    rows = board_data(board, styles([board]))["rows"]
    joined = {row["name"]: None if row["on"] is None else rows[row["on"]]["name"] for row in rows}
    # Without the parameter it is on its default, by the method's own source; an absent row is no join.
    assert joined == {
        "plop": None, "mib": None, "clora:on=plop": "plop", "clora": "mib", "clora:on=ilt": None,
        "fine_tune": None,
    }  # fmt: skip


def test_a_default_that_changes_changes_a_boards_page_and_a_broken_source_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "clora.py"
    monkeypatch.setattr(livedata, "method_files", lambda: {"clora": source})
    factory.write(make("clora"), tmp_path / "r")
    factory.write(make("mib"), tmp_path / "r")
    seen = []
    text = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass C:\n    on: str = {}\n"
    for content in (text.format("'mib'"), text.format("'ilt'"), "class ("):
        livedata._default_on.cache_clear()
        source.write_text(content)
        (board,) = quick_build(tmp_path / "r", tmp_path / "site").boards
        data = (tmp_path / "site" / "boards" / board.slug / "data.js").read_text()
        rows = json.loads(data.removeprefix("cssbench.board(").removesuffix(");\n"))["rows"]
        seen.append(next(row["on"] is not None for row in rows if row["name"] == "clora"))
    livedata._default_on.cache_clear()
    assert seen == [True, False, False]


def test_means_of_logarithms_give_a_rows_netscore() -> None:
    board = _board(*(make("mib", seed=seed) for seed in range(3)))
    (row,) = board_data(board, styles([board]))["rows"]
    for name, (p, m) in row["logs"].items():
        assert 20 * (2 * row["log_a"] - 0.5 * p - 0.5 * m) == pytest.approx(
            board.rows[0].mean(f"netscore_{name}"), abs=1e-12
        )


def test_an_unknown_cost_has_no_logarithm() -> None:
    record = make()
    last = record.steps[-1]
    compute = replace(last.compute, inference_macs=None, train_flops=0)
    board = _board(replace(record, steps=(*record.steps[:-1], replace(last, compute=compute))))
    (row,) = board_data(board, styles([board]))["rows"]
    assert row["logs"]["deploy"][1] is None
    assert row["logs"]["train"][1] is None
    assert row["logs"]["clora"][1] is not None


def test_failed_rows_have_no_numbers() -> None:
    board = _board(make(), factory.failed("ewc", SHAPES_4_2, "oom", "out of memory", 1))
    failed = next(row for row in board_data(board, styles([board]))["rows"] if row["kind"] == "failed")
    assert failed["values"] is None
    assert failed["log_a"] is None
    assert board_counts(board)["rows"][-1] == []


@pytest.mark.parametrize("text", ["</script>", "\u2028'); alert(1); ('", "\ud800", "\u202e"])
def test_a_script_is_ascii_and_one_call_whatever_it_holds(text: str) -> None:
    content = script("call", {"name": text})
    assert content.isascii()
    assert content.count(b"\n") == 1
    assert json.loads(content.decode().removeprefix("call(").removesuffix(");\n")) == {"name": text}


def test_each_seed_of_a_row_has_its_own_counts_in_its_place() -> None:
    runs = [scored(Found(str(seed), make(seed=seed))) for seed in (2, 0, 1)]
    (board,) = boards_of(runs)
    (row,) = board.rows
    assert [m.run.record.seed for m in row.counted] == [0, 1, 2]
    found = board_counts(board)["rows"]
    assert found == [[[step_counts(step) for step in m.run.record.steps] for m in row.counted]]
    assert found[0][0] != found[0][1] != found[0][2]
