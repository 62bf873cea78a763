"""The command: what it prints, how it exits, and that bad input is one sentence and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from spine_toys import FAMILY, MODEL, make_msrc, protocol_name, write_method

from benchmark import __version__
from benchmark.cli import main
from benchmark.finding import method_names
from benchmark.protocols import preset_files, protocol_ids
from benchmark.record import read_record

ROOT = Path(__file__).parents[2]
PAIR = protocol_name("2-2-overlapped")


def invoke(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def records(results: Path) -> list[Path]:
    return sorted(path for path in results.rglob("*.json"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def where(tiny_root: Path, results: Path) -> list[object]:
    return ["--model", MODEL, "--data-root", tiny_root, "--results", results, "--device", "cpu"]


# Bad input.


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A copy of the data that may be broken."""
    return make_msrc(tmp_path / "own")


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _truncate(name: str) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])

    return harm


def _recolour(root: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24), (1, 2, 3)).save(root / "GroundTruth" / "train1_GT.png")


def _empty(root: Path) -> None:
    (root / "Train.txt").write_text("")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no split list": (_unlink("Train.txt"), "Train.txt is missing"),
    "an empty split list": (_empty, "Train.txt is empty"),
    "an image without a label": (_unlink("GroundTruth/test2_GT.png"), "test2.png has no label map"),
    "an image that is not there": (_unlink("Images/validation1.png"), "validation1"),
    "an unknown colour": (_recolour, "unknown colour (1, 2, 3)"),
    "a truncated training image": (_truncate("Images/train3.png"), "train3.png"),
    "a truncated test image": (_truncate("Images/test3.png"), "test3.png"),
    "a truncated label": (_truncate("GroundTruth/train3_GT.png"), "train3_GT.png"),
    "a truncated label of the test set": (_truncate("GroundTruth/test3_GT.png"), "test3_GT.png"),
}

WRONG: dict[str, tuple[list[object], str]] = {
    "method": (["--method", "fine_tun"], "unknown method 'fine_tun'; did you mean 'fine_tune'?"),
    "method file": (["--method", "gone.py"], "method file 'gone.py' does not exist"),
    "file without a method": (
        ["--method", FAMILY.parent / "spine_toys.py"],
        "defines 0 subclasses of Method",
    ),
    "protocol": (["--protocol", "msrc-16-5-overlaped"], "did you mean 'msrc-16-5-overlapped'?"),
    "scenario": (["--protocol", protocol_name("2-3-overlapped")], "unknown protocol"),
    "protocol file": (["--protocol", "gone.toml:2-2-overlapped"], "protocol file gone.toml cannot be read"),
    "preset": (["--model", "cnn-smal-cpu"], "did you mean 'cnn-small-cpu'?"),
    "preset file": (["--model", "gone.toml"], "model preset gone.toml cannot be read"),
    "hyper-parameter": (["--method", "mib:distilation=1"], "did you mean 'distillation'?"),
    "type": (["--method", "mib:distillation=much"], "'distillation': got 'much'"),
    "range": (["--method", "mib:distillation=-1"], "'distillation': got '-1'"),
    "data": (["--data-root", "nowhere"], "no MSRC-v2 at nowhere"),
    "bound": (["--method", "mib", "--protocol", protocol_name("joint")], "is run with 'fine_tune' alone"),
}
ONLY_RUN: dict[str, tuple[list[object], str]] = {
    "--set of an unknown": (["--set", "rank=3"], "unknown hyper-parameter 'rank'"),
    "--set without a value": (["--set", "rank"], "'rank' is not of the form name=value"),
    "--set twice": (["--set", "a=1", "--set", "a=2"], "'a' is given twice"),
    "--set and in the method": (
        ["--method", "mib:distillation=1", "--set", "distillation=2"],
        "is given twice",
    ),
}


def refused(result: Result, expected: str, results: Path) -> None:
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.startswith("cssbench: ") and result.stderr.count("\n") == 1
    assert expected in result.stderr
    assert not results.exists()


def arguments(where: list[object], changes: list[object]) -> list[object]:
    """Options of a run that would go well, with ``changes`` in place of those they name."""
    named = {str(word) for word in changes if str(word).startswith("--")}
    good = ["--method", "fine_tune", "--protocol", PAIR, *where]
    kept = [
        word
        for name, value in zip(good[::2], good[1::2], strict=True)
        if name not in named
        for word in (name, value)
    ]
    return [*kept, *changes]


@pytest.mark.parametrize("case", {**WRONG, **ONLY_RUN})
def test_bad_input_of_a_run_is_one_sentence(where, results, case):
    changes, expected = {**WRONG, **ONLY_RUN}[case]
    refused(invoke("run", *arguments(where, changes)), expected, results)


@pytest.mark.parametrize("case", [case for case in WRONG if case != "bound"])
def test_bad_input_of_a_sweep_is_one_sentence(where, results, case):
    changes, expected = WRONG[case]
    refused(invoke("sweep", *arguments(where, changes)), expected, results)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_are_one_sentence_and_leave_nothing(where, results, own_root, case):
    harm, expected = BROKEN[case]
    harm(own_root)
    changes = ["--data-root", own_root]
    result = invoke("run", *arguments(where, changes))
    lines = [
        line
        for line in result.stderr.replace("\r", "\n").splitlines()
        if "it/s" not in line and "?it" not in line
    ]
    assert result.exit_code == 2 and result.stdout == ""
    assert [line for line in lines if line.startswith("cssbench: ") and expected in line] == lines[-1:]
    assert "Traceback" not in result.stderr and not results.exists()


def test_data_must_be_said(where, results):
    place = where.index("--data-root")
    del where[place : place + 2]
    refused(invoke("run", *arguments(where, [])), "needs the folder of its data", results)


def test_cuda_must_be_there(where, results, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(invoke("run", *arguments(where, ["--device", "cuda"])), "no CUDA device", results)


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "--method", "fine_tune"],
        ["run", "--method", "fine_tune", "--protocol", PAIR, "--seed", "-1"],
        ["run", "--method", "fine_tune", "--protocol", PAIR, "--seed", "x"],
        ["run", "--method", "fine_tune", "--protocol", PAIR, "--device", "tpu"],
        ["run", "--method", "fine_tune", "--protocol", PAIR, "--split", "train"],
        ["sweep", "--protocol", PAIR],
        ["list", "models", "methods"],
        ["list", "colours"],
        ["runn"],
    ],
)
def test_what_is_no_command_is_refused_with_its_usage(words):
    result = invoke(*words)
    assert result.exit_code == 2 and "Usage:" in result.stderr and "Traceback" not in result.stderr


# In a process of its own.


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = "import sys; from benchmark.cli import main; sys.argv[0] = 'cssbench'; main()"
    return subprocess.run(
        [sys.executable, "-c", line, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_broken_image_is_one_sentence_for_a_user_too(where, results, own_root):
    """With all that libraries print on import, and the progress bar cleared away before the sentence."""
    _truncate("Images/test3.png")(own_root)
    done = command("run", *arguments(where, ["--data-root", own_root]))
    assert done.returncode == 2 and done.stdout == ""
    shown = done.stderr.replace("\r", "\n").splitlines()
    assert [line for line in shown if "Warning" in line or "Traceback" in line] == []
    assert shown[-1].startswith("cssbench: ") and "test3.png" in shown[-1]
    assert not results.exists()


HEAVY = ["torch", "timm", "pydantic", "pandas", "numpy", "matplotlib", "accelerate", "PIL", "scipy"]
LOADED = """
import json, sys
from benchmark.cli import main
try:
    main(sys.argv[1:])
except SystemExit as exit:
    assert not exit.code, exit.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*words: str) -> set[str]:
    """The packages that are imported once a command has answered."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    assert not loaded(*words) & set(HEAVY)


@pytest.mark.parametrize("kind", ["methods", "protocols", "datasets", "models"])
def test_lists_import_no_torch(kind):
    assert not loaded("list", kind) & {"torch", "timm", "accelerate", "pandas", "matplotlib"}


# What works.


def test_help_and_version():
    assert __version__ in invoke("--version").stdout
    help_text = invoke("--help").stdout
    for name in ("demo", "list", "run", "sweep", "report"):
        assert name in help_text
    for option in (
        "--method",
        "--protocol",
        "--model",
        "--seed",
        "--set",
        "--data-root",
        "--results",
        "--device",
        "--split",
    ):
        assert option in invoke("run", "--help").stdout
    assert "--retry" in invoke("sweep", "--help").stdout


def test_lists_name_everything():
    from benchmark.data.dataset import dataset_names

    expected = {
        "methods": method_names(),
        "protocols": protocol_ids(),
        "datasets": list(dataset_names()),
        "models": sorted(preset_files()),
    }
    for kind, names in expected.items():
        result = invoke("list", kind)
        assert result.exit_code == 0
        assert [line.split()[0] for line in result.stdout.splitlines()] == names
    assert all(
        len(line.split()) > 3
        for kind in ("methods", "models")
        for line in invoke("list", kind).stdout.splitlines()
    )


def test_a_run_prints_how_it_ended_and_where_it_is(where, results):
    words = ["--method", "mib", "--set", "distillation=5", "--seed", "3"]
    result = invoke("run", *arguments(where, words))
    (path,) = records(results)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "mib:distillation=5 on tiny-2-2-overlapped, tiny-model, seed 3: ok",
        str(path),
    ]
    record = read_record(path)
    assert (record.variant, record.seed, record.params) == ("mib:distillation=5", 3, {"distillation": 5.0})


def test_the_data_may_be_named_by_the_environment(where, results, tiny_root, monkeypatch):
    monkeypatch.setenv("CSSBENCH_DATA", str(tiny_root))
    place = where.index("--data-root")
    del where[place : place + 2]
    assert invoke("run", *arguments(where, [])).exit_code == 0


def test_a_run_that_fails_is_recorded_and_exits_with_one(where, results, tmp_path):
    bad = write_method(
        tmp_path, name="bad", loss="\n    def loss(self, *hooks):\n        raise ValueError('mine')\n"
    )
    result = invoke("run", *arguments(where, ["--method", bad]))
    (path,) = records(results)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["bad on tiny-2-2-overlapped, tiny-model, seed 0: error", str(path)]
    assert "ValueError: mine" in result.stderr and "Traceback" not in result.stderr


def test_a_bug_of_the_harness_keeps_its_traceback(where, monkeypatch):
    def broken(spec: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("benchmark.run.resolve", broken)
    result = invoke("run", *arguments(where, []))
    assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)


def test_a_sweep_prints_a_line_a_cell(where, results, tmp_path):
    bad = write_method(
        tmp_path, name="bad", loss="\n    def loss(self, *hooks):\n        raise ValueError('mine')\n"
    )
    words = ["sweep", "--method", "fine_tune", "--method", bad, "--protocol", PAIR, "--seed", "1", *where]
    first = invoke(*words)
    lines = first.stdout.splitlines()
    assert first.exit_code == 1 and len(lines) == 2 and len(records(results)) == 2
    assert lines[0] == f"fine_tune · {PAIR} · {MODEL} · seed 1 — run: ok"
    assert lines[1].startswith(f"{bad} · {PAIR} · {MODEL} · seed 1 — run: error (ValueError: mine")
    second = invoke(*words)
    assert second.exit_code == 1 and len(records(results)) == 2
    assert "recorded: ok" in second.stdout and "failed before: error" in second.stdout
    third = invoke(*words, "--retry")
    assert "run: error" in third.stdout and len(records(results)) == 3
    good = invoke("sweep", "--method", "fine_tune", "--protocol", PAIR, "--seed", "1", *where)
    assert good.exit_code == 0 and good.stdout.count("\n") == 1


def test_an_interrupt_ends_without_a_traceback(where, results, tmp_path):
    stop = write_method(tmp_path, loss="\n    def loss(self, *hooks):\n        raise KeyboardInterrupt\n")
    result = invoke("run", *arguments(where, ["--method", stop]))
    (path,) = records(results)
    assert result.exit_code == 1 and "Aborted!" in result.stderr and "Traceback" not in result.stderr
    assert read_record(path).status == "interrupted"
