"""How runs end: failures are recorded, bad input leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from spine_toys import MODEL, make_msrc, protocol_name, write_method

from benchmark.consistency import check
from benchmark.errors import DataError, MethodError, ProtocolError
from benchmark.evaluate import ImageCounts
from benchmark.record import read_record, write_atomic
from benchmark.recording import Ending, RunSpec, record_path, write
from benchmark.run import classify, describe, execute, resolve
from benchmark.termlog import DivergedError


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


FAILS = """
    def loss(self, model, output, previous_output, batch, step, state):
        state["toy.count"] = state.get("toy.count", torch.zeros(())) + 1
        if state["toy.count"] == 3:
            {failure}
        return {{"ce": ce(output, batch) * self.factor(state)}}

    def factor(self, state):
        return 1.0
"""


def failing(folder: Path, failure: str) -> Path:
    return write_method(folder, loss=FAILS.format(failure=failure))


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        ("raise MemoryError('no more')", "oom", "MemoryError: no more (at "),
        ("raise torch.OutOfMemoryError('CUDA: no more')", "oom", "OutOfMemoryError: CUDA: no more (at "),
        ("torch.empty(2**62, dtype=torch.uint8)", "oom", "can't allocate memory"),
        ("return {'ce': output.logits.sum() * torch.nan}", "diverged", "'ce' is nan at step 1, iteration 2"),
        ("raise ValueError('mine')", "error", "ValueError: mine (at "),
        ("assert False", "error", "AssertionError"),
        ("open('/secret/folder/weights.pt')", "error", "No such file or directory: 'weights.pt' (at "),
        ("return {'ce': 1.0}", "error", "AttributeError"),
    ],
)  # fmt: skip
def test_a_failure_is_recorded_with_what_was_done_before(run_tiny, tmp_path, results, failure, status, error):
    outcome = run_tiny(failing(tmp_path, failure), "2-2-overlapped")
    record = outcome.record
    assert record.status == status and error in record.error
    assert "/" not in record.error.replace("No such file or", "")
    assert [step.index for step in record.steps] == [0]
    assert read_record(outcome.path) == record
    assert outcome.path.with_suffix(".npz").is_file() and record.images_digest
    check(record)


def test_the_innermost_places_of_an_error_are_named(run_tiny, tmp_path):
    path = failing(tmp_path, "raise ValueError('mine')")
    line = path.read_text().splitlines().index("            raise ValueError('mine')") + 1
    error = run_tiny(path, "2-2-overlapped").record.error
    assert error.startswith("ValueError: mine (at ") and error.endswith(f" > toy.py:{line} loss)")


def test_a_failure_in_the_first_step_is_recorded_without_images(run_tiny, tmp_path):
    body = "\n    def adapt(self, model, step):\n        raise ValueError('at once')\n"
    outcome = run_tiny(write_method(tmp_path, body))
    assert outcome.record.status == "error" and outcome.record.steps == ()
    assert (outcome.record.images_file, outcome.record.images_digest) == (None, None)
    assert not outcome.path.with_suffix(".npz").exists()


def test_a_model_whose_last_update_overflows_is_diverged(run_tiny, tmp_path):
    body = """
    def after_backward(self, model, step, state):
        state["toy.count"] = state.get("toy.count", torch.zeros(())) + 1
        if state["toy.count"] == step.iterations:
            model.classifier.blocks[-1].weight.grad.fill_(float("inf"))
"""
    record = run_tiny(write_method(tmp_path, body), "2-2-overlapped").record
    assert record.status == "diverged" and record.error == "parameters are not finite at the end of step 1"
    assert len(record.steps) == 1


def test_an_interrupt_is_recorded_and_handed_on(run_tiny, tmp_path, results):
    with pytest.raises(KeyboardInterrupt):
        run_tiny(failing(tmp_path, "raise KeyboardInterrupt"), "2-2-overlapped")
    (path,) = results.glob("tiny*/**/*.json")
    record = read_record(path)
    assert (record.status, record.error) == ("interrupted", "interrupted by the user")
    assert [step.index for step in record.steps] == [0]


def test_an_exit_is_no_failure_of_the_method(run_tiny, tmp_path, results):
    with pytest.raises(SystemExit):
        run_tiny(failing(tmp_path, "raise SystemExit"), "2-2-overlapped")
    assert not list(results.glob("tiny*/**/*.json"))


@pytest.fixture
def own_root(tmp_path):
    """A copy of the data that may be broken."""
    return make_msrc(tmp_path / "own")


@pytest.mark.parametrize("broken", ["train0", "test5"])
def test_a_truncated_image_leaves_nothing_behind(run_tiny, own_root, results, broken):
    path = own_root / "Images" / f"{broken}.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=f"^[^\n]*{broken}[^\n]*$"):
        run_tiny(data_root=own_root)
    assert not results.exists()


def test_bad_input_leaves_what_was_there(run_tiny, own_root, results):
    good = run_tiny(data_root=own_root)
    before = files(results)
    path = own_root / "Images" / "test5.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError):
        run_tiny("mib", data_root=own_root)
    assert files(results) == before and read_record(good.path) == good.record


@pytest.mark.parametrize("pretrained", ['"gone.safetensors"\nsha256 = "' + "0" * 64 + '"', '"no_such_tag"'])
def test_weights_that_are_not_there_are_no_failure_of_the_method(tiny_root, tmp_path, results, pretrained):
    preset = tmp_path / "preset.toml"
    preset.write_text(Path(MODEL).read_text().replace('"random"', pretrained))
    spec = RunSpec(
        "fine_tune", protocol_name(), str(preset), data_root=tiny_root, results=results, quiet=True
    )
    with pytest.raises((DataError, ProtocolError), match="preset"):
        execute(resolve(spec))
    assert not results.exists()


def test_an_encoder_that_cannot_be_built_is_no_failure_of_the_method(tiny_root, tmp_path, results):
    preset = tmp_path / "odd.toml"
    preset.write_text(Path(MODEL).read_text().replace('"resnet18"', '"resnet81"'))
    spec = RunSpec(
        "fine_tune",
        protocol_name(),
        str(preset),
        data_root=tiny_root,
        results=results,
        device="cpu",
        quiet=True,
    )
    with pytest.raises(ProtocolError, match="resnet81"):
        execute(resolve(spec))
    assert not results.exists()


def test_tensorboard_is_asked_for_before_anything_is_written(run_tiny, results, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ProtocolError, match="needs TensorBoard"):
        run_tiny(tensorboard=tmp_path / "board")
    assert not results.exists()


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"method": "fine_tun"}, MethodError, "did you mean 'fine_tune'"),
        ({"method": "mib:distillation=-1"}, MethodError, "hyper-parameter 'distillation'"),
        ({"params": {"weight": "1"}}, MethodError, "unknown hyper-parameter 'weight'"),
        ({"protocol": protocol_name("2-1-overlaped")}, ProtocolError, "did you mean 'tiny-2-1-overlapped'"),
        ({"model": "cnn-small"}, ProtocolError, "did you mean 'cnn-small-cpu'"),
        ({"data_root": Path("nowhere")}, DataError, "no MSRC-v2 at nowhere"),
        ({"data_root": None}, DataError, "--data-root"),
        ({"device": "cuda"}, ProtocolError, "torch sees no CUDA device"),
        ({"method": "mib", "protocol": protocol_name("joint")}, MethodError, "is run with 'fine_tune' alone"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(
    tiny_root, results, changes, error, expected, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = RunSpec("fine_tune", protocol_name(), MODEL, data_root=tiny_root, results=results, device="cpu")
    with pytest.raises(error, match=expected):
        resolve(replace(spec, **changes))
    assert not results.exists()


def test_the_joint_bound_runs_all_classes_in_one_step(run_tiny):
    record = run_tiny(scenario="joint").record
    assert (record.status, record.protocol, record.joint_protocol) == ("ok", "tiny-joint", None)
    assert record.step_sizes == (21,) and len(record.steps) == 1 and record.steps[0].base is not None
    check(record)


def test_names_of_records_sort_by_time_and_hold_no_folder(tiny_root, results):
    run = resolve(
        RunSpec(
            "mib:distillation=100",
            protocol_name(),
            MODEL,
            3,
            data_root=tiny_root,
            results=results,
            device="cpu",
        )
    )
    from datetime import UTC, datetime

    path = record_path(run, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC))
    assert (
        path
        == results
        / "tiny-2-1-overlapped"
        / "tiny-model"
        / "mib-distillation=100-seed3-20260102T030405678.json"
    )


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (DivergedError("x"), "diverged"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("x"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "oom"),
        (RuntimeError("x"), "error"),
        (MethodError("x"), "error"),
    ],
)
def test_failures_are_told_apart(failure, status):
    assert classify(failure) == status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot open '/home/me/data/x.png'", "cannot open 'x.png'"),
        ("at /a/b.py:3 and ~/c/d", "at b.py:3 and d"),
        ("C:\\Users\\me\\x.pt", "x.pt"),
        ("a ratio of 3/4 in m/s, 10/20/30", "a ratio of 3/4 in m/s, 10/20/30"),
        ("either/or", "either/or"),
    ],
)
def test_folders_are_left_out_of_a_message(text, expected):
    assert describe(MethodError(text)) == expected


@pytest.mark.parametrize("failure", ["schema", "disk"])
def test_a_record_that_cannot_be_written_leaves_no_counts_by_image_behind(
    tiny_root, results, monkeypatch, failure
):
    spec = RunSpec("fine_tune", protocol_name("2-1-overlapped"), MODEL, data_root=tiny_root, results=results)
    one = np.ones(1, dtype=np.int64)
    status = "finished" if failure == "schema" else "error"
    ending = Ending(datetime.now(UTC), status, None, [], [ImageCounts(one * 0, one, one, one)])
    path = results / "a.json"

    def full(target: Path, content: bytes) -> None:
        if target == path:
            raise OSError("no space left on device")
        write_atomic(target, content)

    monkeypatch.setattr("benchmark.recording.write_atomic", full)
    with pytest.raises((ValueError, OSError)):
        write(resolve(spec), path, ending)
    assert files(results) == []
