"""``cssbench profile``: parts that add up to an iteration, a trace that names them, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from spine_toys import MODEL, protocol_name

from benchmark.cli import main
from benchmark.profile_text import profile_tables
from benchmark.profiling import WARM_UP, OperatorTime, ProfilingMeter, TimeProfile
from benchmark.protocols import load_preset
from benchmark.runtime import start_runtime


def invoke(*words: object) -> Result:
    given = ["profile", "--protocol", protocol_name("2-1-overlapped"), "--model", MODEL, "--device", "cpu"]
    return CliRunner().invoke(main, [str(word) for word in (*given, *words)])


def test_parts_add_up_and_the_trace_names_them(tiny_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    done = invoke("--method", "plop", "--data-root", tiny_root, "--iterations", 2, "--step", 2, "--out", out)
    assert done.exit_code == 0, done.output
    told = json.loads((out / "profile.json").read_text())
    assert (told["basis"], told["step"], told["iterations"], told["variant"]) == ("measured", 2, 2, "plop")
    assert list(told["parts"]) == ["data", "teacher", "student", "loss", "backward", "optimiser", "other"]
    assert all(seconds > 0 for seconds in told["parts"].values())
    assert told["seconds"] == pytest.approx(sum(told["parts"].values()))
    events = json.loads((out / "trace.json").read_text())["traceEvents"]
    named = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    assert {name: named.count(name) for name in (*told["parts"], "iteration")} == {
        **dict.fromkeys(told["parts"], 2),
        "iteration": 2,
        "other": 0,
    }
    calls = {op["name"]: op["calls"] for op in told["operators"]}
    assert 2 * calls["aten::convolution_backward"] == calls["aten::convolution"]  # a teacher has none
    times = [op["seconds"] for op in told["operators"]]
    assert times == sorted(times, reverse=True)
    with Image.open(out / "profile.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 500
    assert "teacher" in done.stdout and str(out / "trace.json") in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "ilt"], "expected --data-root"),
        (["--method", "ilt", "--data-root", "nowhere"], "nowhere"),
        (["--method", "ilt", "--iterations", 0], "0 is not in the range x>=1"),
        (["--method", "ilt", "--data-root", "ROOT", "--step", 3], "has no step 3; its steps are 0 to 2"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[object], said: str, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CSSBENCH_DATA", raising=False)
    done = invoke(*(tiny_root if word == "ROOT" else word for word in words), "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


class NoProfiler:
    started = 0

    def start(self) -> None:
        self.started += 1


def test_the_first_iterations_are_left_out_and_what_no_part_names_is_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiler, iterations = NoProfiler(), 2
    meter = ProfilingMeter(torch.device("cpu"), iterations, profiler)  # type: ignore[arg-type]
    clock = [0.0]
    monkeypatch.setattr(ProfilingMeter, "_now", lambda self: clock[0])
    for number in range(WARM_UP + 2 * iterations):
        with meter.iteration():
            scale = 100 if number < WARM_UP or number >= WARM_UP + iterations else 1
            for part, spent in (("data", 2), (None, 7), ("student", 4)):
                if part is None:
                    clock[0] += spent * scale
                    continue
                with meter.waiting() if part == "data" else meter.part(part):
                    clock[0] += spent * scale
    assert meter.parts == {"data": 4, "student": 8, "other": 14}
    assert profiler.started == 1


def test_tables_show_milliseconds_and_shares() -> None:
    environment = start_runtime("cpu", load_preset(MODEL), 0).environment()
    found = TimeProfile(
        "p-1-1-overlapped", "m", "sdr", 1, 8, 32, 5, environment, 0.5, {"data": 0.1, "student": 0.4},
        (OperatorTime("aten::a" + "x" * 80 + "backward", 3.0, 0.3), OperatorTime("aten::mm", 1.5, 0.1)),
    )  # fmt: skip
    lines = [line.split() for line in profile_tables(found).splitlines()]
    assert ["data", "100.00", "20.0"] in lines and ["iteration", "500.00", "100.0"] in lines
    assert ["images", "a", "second", "16.00"] in lines
    assert ["aten::mm", "100.00", "25.0", "1.5"] in lines
    assert any(line and line[0].startswith("aten::axx") and line[0].endswith("xbackward") for line in lines)
