"""Whole runs: what is recorded, and what a method is called with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from spine_toys import LISTS, MODEL, label_of, write_method

from benchmark.consistency import check
from benchmark.finding import find_method
from benchmark.record import read_record

ROWS = (0, 1, 2, 4, 3)  # background, then the labels of 2-1 in learning order


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture(scope="module")
def outcome(run_tiny_to, tmp_path_factory):
    """One run of MiB, which several tests look at."""
    folder = tmp_path_factory.mktemp("outcome")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSSBENCH_CACHE", str(folder / "cache"))
        return run_tiny_to(folder / "results", "mib")


def test_a_run_leaves_a_record_its_images_and_its_log(outcome):
    record, path = outcome.record, outcome.path
    results = path.parents[2]
    assert (record.status, record.error) == ("ok", None)
    assert read_record(path) == record
    check(record)
    assert path.parent == results / "tiny-2-1-overlapped" / "tiny-model"
    log = results / "logs" / path.relative_to(results).with_suffix(".jsonl")
    assert {str(p.relative_to(results)) for p in results.rglob("*") if p.is_file()} == {
        str(p.relative_to(results)) for p in (path, path.with_suffix(".npz"), log)
    }
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [sum(line["step"] == step for line in lines) for step in range(3)] == [
        s.iterations for s in record.steps
    ]


def test_what_was_asked_for_is_recorded(outcome):
    record = outcome.record
    assert (record.protocol, record.scenario, record.setting, record.split) == (
        "tiny-2-1-overlapped", "2-1", "overlapped", "test",
    )  # fmt: skip
    assert (record.joint_protocol, record.model, record.pretrained) == ("tiny-joint", "tiny-model", "random")
    assert record.classes == ("building", "grass", "cow", "tree") and record.step_sizes == (2, 1, 1)
    assert (record.method, record.variant, record.params) == ("mib", "mib", {"distillation": 10.0})
    assert (record.epochs, record.batch_size, record.image_size, record.background) == (2, 4, 32, False)
    assert record.source_digest == find_method("mib").source_digest
    assert record.environment.device == "cpu" and record.environment.threads == 1
    assert torch.__version__.startswith(record.environment.packages["torch"])
    assert (
        record.command
        == "cssbench run --method mib --protocol tiny-2-1-overlapped --model tiny-model --seed 0"
    )
    assert record.started <= record.finished


def test_the_confusion_matrix_has_every_scored_pixel_in_its_row(outcome):
    """Rows sum to the pixels of the test set, whatever the model said, classes not seen yet included."""
    pixels = {
        label: sum(int((label_of(image) == label).sum()) for image in LISTS["Test"]) for label in range(1, 5)
    }
    expected = [0, *(pixels[label] for label in ROWS[1:])]
    for index, step in enumerate(outcome.record.steps):
        matrix = np.array(step.confusion)
        assert matrix.shape == (5, 3 + index)
        assert matrix.sum(axis=1).tolist() == expected


def test_the_matrices_by_image_sum_to_the_matrix_and_carry_their_digest(outcome):
    record, packed = outcome.record, outcome.path.with_suffix(".npz")
    assert record.images_file == packed.name
    assert record.images_digest == hashlib.sha256(packed.read_bytes()).hexdigest()
    with np.load(packed, allow_pickle=False) as stored:
        assert stored["names"].tolist() == [f"test{number}" for number in range(6)]
        for index, step in enumerate(record.steps):
            summed = np.zeros((5, 3 + index), dtype=np.int64)
            cells = stored[f"step{index}_row"], stored[f"step{index}_column"]
            np.add.at(summed, cells, stored[f"step{index}_count"])
            assert summed.tolist() == [list(row) for row in step.confusion]
            first = stored[f"step{index}_image"] == 0
            rows = np.bincount(
                stored[f"step{index}_row"][first], stored[f"step{index}_count"][first], minlength=5
            )
            shown = label_of((1, 2))
            assert rows.tolist() == [0, *((shown == label).sum() for label in ROWS[1:])]


def test_every_step_is_described(outcome):
    for index, step in enumerate(outcome.record.steps):
        assert step.index == index
        assert step.classes == ((1, 2), (3,), (4,))[index]
        assert step.images == (9, 6, 4)[index]
        assert step.iterations == 2 * -(-step.images // 4)
        assert step.seconds.timed_iterations + step.seconds.instrumented_iterations == step.iterations
        parts = step.compute.train_flops_by_part
        assert ("teacher" in parts) == bool(index) and sum(parts.values()) == step.compute.train_flops
        assert parts["backward"] > parts["student"] > 0
        assert step.compute.inference_macs == step.compute.forward_macs > 0
        assert step.peak_bytes["train"].live_tensors > step.checkpoint_bytes
        assert step.parameters.total == step.parameters.trainable == step.parameters.deployed
        assert step.checkpoint_bytes > 4 * step.parameters.deployed
        assert step.latency_seconds > 0
        assert (step.energy_joules, step.gpu_utilisation_percent) == (None, None)
        (why,) = step.energy_notes
        metered = step.iterations > 3
        assert why.endswith("no NVML counters" if metered else "unknown: too few iterations to meter any")
        assert (step.base is None) == bool(index)
    sizes = [step.parameters.total for step in outcome.record.steps]
    assert sizes == [sizes[0], sizes[0] + 9, sizes[0] + 18]  # one class: eight weights and a bias


def test_losses_are_recorded_by_name(outcome):
    assert [set(step.losses) for step in outcome.record.steps] == [
        {"cross_entropy"},
        *[{"unbiased_cross_entropy", "unbiased_distillation"}] * 2,
    ]


def test_no_path_of_this_machine_is_recorded(outcome, tiny_root):
    text = outcome.path.read_text()
    for folder in (tiny_root, outcome.path.parents[3], Path.home(), Path.cwd(), Path(MODEL).parent):
        assert str(folder) not in text


def test_a_validation_run_is_kept_apart(run_tiny, results):
    test, held_out = run_tiny(), run_tiny(split="validation")
    assert test.record.protocol_digest != held_out.record.protocol_digest
    assert held_out.path.parent.parent.name == "tiny-2-1-overlapped-validation"
    assert [step.images for step in held_out.record.steps] == [6, 4, 3]
    assert "--split validation" in held_out.record.command
    total = sum(int((np.isin(label_of(image), (1, 2, 3, 4))).sum()) for image in LISTS["Validation"])
    assert np.array(held_out.record.steps[0].confusion).sum() == total


def test_names_become_names_of_files(run_tiny, tmp_path):
    outcome = run_tiny(
        write_method(tmp_path, '\n    kind: str = "a"\n'), "2-2-overlapped", params={"kind": "../b c"}
    )
    assert outcome.path.parent.name == "tiny-model"
    assert outcome.path.name.startswith("toy-kind=..-b-c-seed0-")
    assert outcome.record.variant == "toy:kind=../b c"


NOTING = """
    @property
    def needs(self):
        return frozenset({"previous"})

    def note(self, hook, model, step, **more):
        NOTES.append((step.index if step else None, hook, model.outputs, model.training, more))

    def adapt(self, model, step):
        self.note("adapt", model, step)
        return trainable(model)

    def prepare(self, model, previous, batches, step, state):
        images = sum(len(b.image) for b in batches)
        self.note("prepare", model, step, previous=previous and previous.outputs, images=images)

    def loss(self, model, output, previous_output, batch, step, state):
        self.note("loss", model, step, previous=previous_output and previous_output.logits.shape[1])
        return {"ce": ce(output, batch)}

    def after_backward(self, model, step, state):
        self.note("after_backward", model, step)

    def consolidate(self, model, batches, step, state):
        self.note("consolidate", model, step, images=sum(len(b.image) for b in batches), state=sorted(state))
        state[f"toy.step{step.index}"] = torch.zeros(step.index + 1)

    def deploy(self, model):
        self.note("deploy", model, None)
        return model
"""


@pytest.fixture
def noted(tmp_path):
    path = write_method(tmp_path, NOTING, loss="")
    path.write_text(path.read_text().replace("@dataclass", "NOTES = []\n\n@dataclass", 1))
    return path, find_method(str(path)).method.loss.__func__.__globals__["NOTES"]


def test_hooks_are_called_in_their_order_with_what_they_may_see(run_tiny, noted):
    path, notes = noted
    record = run_tiny(path).record
    assert record.error is None
    expected = []
    for step, (images, iterations) in enumerate([(9, 6), (6, 4), (4, 2)]):
        outputs, before = 3 + step, 2 + step if step else None
        expected += [
            (step, "adapt", outputs, step == 0, {}),
            (step, "prepare", outputs, False, {"previous": before, "images": images}),
        ]
        if step:
            pair = [
                (step, "loss", outputs, True, {"previous": before}),
                (step, "after_backward", outputs, True, {}),
            ]
            expected += pair * iterations
        kept = [f"toy.step{earlier}" for earlier in range(step)]
        expected += [
            (step, "consolidate", outputs, False, {"images": images, "state": kept}),
            (None, "deploy", outputs, False, {}),
        ]
    assert notes == expected
    assert [step.state_bytes for step in record.steps] == [4, 12, 24]


def test_the_previous_model_is_the_last_one_shipped(run_tiny, tmp_path):
    """A method that ships a model of zeros is taught by zeros."""
    body = """
    @property
    def needs(self):
        return frozenset({"previous"})

    def deploy(self, model):
        import copy
        shipped = copy.deepcopy(model)
        with torch.no_grad():
            [p.zero_() for p in shipped.classifier.parameters()]
        return shipped
"""
    loss = """
    def loss(self, model, output, previous_output, batch, step, state):
        assert not previous_output.logits.any() and output.logits.any()
        return {"ce": ce(output, batch)}
"""
    record = run_tiny(write_method(tmp_path, body, loss=loss)).record
    assert record.error is None
    for step in record.steps:
        matrix = np.array(step.confusion)
        assert matrix[:, 0].sum() == matrix.sum()  # all scores are equal: the first output is chosen


def test_a_copy_that_is_smaller_is_counted_as_shipped(run_tiny, tmp_path):
    body = """
    def adapt(self, model, step):
        if step.index == 0:
            model.extra = nn.Linear(10, 10)
        model.extra.requires_grad_(False)
        return trainable(model)

    def deploy(self, model):
        import copy
        shipped = copy.deepcopy(model)
        del shipped.extra
        return shipped
"""
    for step in run_tiny(write_method(tmp_path, body)).record.steps:
        assert step.parameters.total - 110 == step.parameters.trainable == step.parameters.deployed


def test_what_a_method_decided_is_recorded(run_tiny, tmp_path):
    body = """
    def resolved(self, step):
        return {"base": step.weights, "first": str(step.new_classes)}
"""
    assert run_tiny(write_method(tmp_path, body)).record.resolved == {"base": "random", "first": "(1, 2)"}
