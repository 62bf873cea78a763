"""The log of loss terms: a file, a progress bar, a board and a summary."""

from __future__ import annotations

import io
import json

import pytest
import torch

from benchmark.termlog import DivergedError, TermLog


class Bar:
    """A progress bar that is none."""

    def __init__(self) -> None:
        self.count, self.shown = 0, ""

    def update(self) -> None:
        self.count += 1

    def set_postfix(self, loss: str, refresh: bool) -> None:
        self.shown = loss


def term_log() -> tuple[TermLog, io.StringIO, Bar]:
    file, bar = io.StringIO(), Bar()
    return TermLog(2, bar, file), file, bar


def test_terms_are_written_a_line_an_iteration():
    log, file, bar = term_log()
    for i in range(12):
        log.add(i, {"a": torch.tensor(float(i)), "b": torch.tensor(0.5, dtype=torch.bfloat16)})
    assert len(file.getvalue().splitlines()) == 10 and bar.count == 12
    assert bar.shown == "9.500"
    log.flush()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines == [{"step": 2, "iteration": i, "a": float(i), "b": 0.5} for i in range(12)]


def test_the_summary_is_the_mean_of_each_tenth():
    log, _, _ = term_log()
    for i in range(20):
        log.add(i, {"a": torch.tensor(float(i))})
    assert log.summary() == {"a": tuple(2 * part + 0.5 for part in range(10))}


def test_a_tenth_without_an_iteration_is_unknown():
    log, _, _ = term_log()
    for i in range(2):
        log.add(i, {"a": torch.tensor(float(i + 1))})
    values = log.summary()["a"]
    assert len(values) == 10 and [v for v in values if v is not None] == [1.0, 2.0]
    assert values[4] == 1.0 and values[9] == 2.0
    assert term_log()[0].summary() == {}


def test_a_term_that_comes_and_goes_is_kept_where_it_was():
    log, file, _ = term_log()
    for i in range(20):
        terms = {"a": torch.tensor(1.0)} | ({"late": torch.tensor(float(i))} if i >= 10 else {})
        log.add(i, terms)
    assert log.summary() == {
        "a": (1.0,) * 10,
        "late": (None,) * 5 + tuple(2 * part + 0.5 for part in range(5, 10)),
    }
    assert "late" not in json.loads(file.getvalue().splitlines()[9])
    assert json.loads(file.getvalue().splitlines()[10])["late"] == 10.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_term_that_is_not_finite_ends_the_step_and_is_in_the_file(value):
    log, file, _ = term_log()
    for i in range(9):
        log.add(i, {"a": torch.tensor(1.0), "b": torch.tensor(value if i == 4 else 0.0)})
    with pytest.raises(DivergedError, match=f"^loss term 'b' is {value} at step 2, iteration 4$"):
        log.add(9, {"a": torch.tensor(1.0), "b": torch.tensor(0.0)})
    lines = file.getvalue().splitlines()
    assert len(lines) == 5 and json.loads(lines[-1])["b"] is None


def test_a_board_gets_every_term_under_its_step():
    told: list[tuple[str, float, int]] = []
    board = type("Board", (), {"add_scalar": lambda self, *given: told.append(given)})()
    log = TermLog(1, Bar(), io.StringIO(), board)
    log.add(0, {"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    log.flush()
    assert told == [("step1/a", 2.0, 0), ("step1/b", 3.0, 0)]
