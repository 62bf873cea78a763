"""The same seed gives the same bits, and nothing else has a say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spine_toys import same_but_for_time, write_method

from benchmark import shipping
from benchmark.finding import find_method
from benchmark.measure.flops import MacCount

DRAWS = """
    @property
    def own_base(self):
        return True

    def adapt(self, model, step):
        self.draw()
        return trainable(model)

    def prepare(self, model, previous, batches, step, state):
        self.draw()
        SHOWN.extend((b.image.sum().item(), b.target.sum().item()) for b in batches)

    def consolidate(self, model, batches, step, state):
        self.draw()
        SHOWN.extend((b.image.sum().item(), b.target.sum().item()) for b in batches)

    def after_backward(self, model, step, state):
        self.draw()

    def draw(self):
        import random, numpy
        if DRAW:
            torch.rand(3), random.random(), numpy.random.rand(2)

    def loss(self, model, output, previous_output, batch, step, state):
        self.draw()
        SHOWN.append((batch.image.sum().item(), batch.target.sum().item()))
        return {"ce": ce(output, batch)}
"""


def drawing(folder: Path, draw: bool) -> tuple[Path, list[tuple[float, int]]]:
    folder.mkdir()
    path = write_method(folder, DRAWS, loss="")
    path.write_text(path.read_text().replace("@dataclass", f"SHOWN = []\nDRAW = {draw}\n\n@dataclass", 1))
    shown = find_method(str(path)).method.loss.__func__.__globals__["SHOWN"]
    return path, shown


def test_a_method_that_draws_random_numbers_is_shown_the_same(run_tiny, tmp_path):
    quiet, seen_quietly = drawing(tmp_path / "quiet", draw=False)
    loud, seen_loudly = drawing(tmp_path / "loud", draw=True)
    one, other = run_tiny(quiet, "2-2-overlapped").record, run_tiny(loud, "2-2-overlapped").record
    assert len(seen_quietly) == sum(step.iterations + 2 * -(-step.images // 4) for step in one.steps)
    assert seen_loudly == seen_quietly
    # The classifier's new outputs have a stream of their own as well, so that nothing else differs.
    assert [step.confusion for step in other.steps] == [step.confusion for step in one.steps]


@pytest.mark.parametrize("method", ["fine_tune", "mib"])
def test_two_runs_of_a_seed_are_the_same_but_for_time(run_tiny_to, method, tmp_path, monkeypatch):
    """With a cache each, so that both train their step 0."""
    records = []
    for number in range(2):
        monkeypatch.setenv("CSSBENCH_CACHE", str(tmp_path / f"cache{number}"))
        torch.rand(number), np.random.rand(number)
        records.append(run_tiny_to(tmp_path / f"results{number}", method).record)
    one, other = map(same_but_for_time, records)
    assert one == other
    assert records[0].images_digest == records[1].images_digest


def test_another_seed_is_another_run(run_tiny):
    one, other = run_tiny(seed=0).record, run_tiny(seed=1).record
    assert one.steps[0].confusion != other.steps[0].confusion
    assert (one.protocol_digest, one.source_digest) == (other.protocol_digest, other.source_digest)


def test_workers_change_nothing(run_tiny):
    one, other = (
        run_tiny(scenario="2-2-overlapped").record,
        run_tiny(scenario="2-2-overlapped", workers=1).record,
    )
    assert [step.confusion for step in one.steps] == [step.confusion for step in other.steps]


def test_where_decoded_images_are_kept_changes_nothing(run_tiny, tiny_root, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tiny_root.rglob("*")}
    alone = run_tiny(scenario="2-2-overlapped", cache_bytes=0).record
    for _ in range(2):  # filling the folder, then reading from it
        kept = run_tiny(scenario="2-2-overlapped", cache_dir=tmp_path / "decoded", workers=1).record
        assert [step.confusion for step in kept.steps] == [step.confusion for step in alone.steps]
    assert any((tmp_path / "decoded").rglob("*.bin"))
    assert {path: path.stat().st_mtime_ns for path in tiny_root.rglob("*")} == before  # it may be read-only


def test_scoring_and_counting_leave_no_trace_in_the_next_step(run_tiny, monkeypatch):
    """With all that looks at a shipped model switched off after step 0, step 1 ends with the same bits."""
    plain = run_tiny("mib", "2-2-overlapped").record
    evaluate = shipping.evaluate
    calls: list[int] = []

    def only_later(forward, batches, table, rows, columns, **more):
        calls.append(columns)
        return evaluate(forward, batches if len(calls) > 1 else [], table, rows, columns, **more)

    monkeypatch.setattr(shipping, "evaluate", only_later)
    monkeypatch.setattr(shipping, "count_macs", lambda model, image: MacCount(1, {}, {}, 1))
    monkeypatch.setattr(shipping, "latency", lambda model, image: 1.0)
    blind = run_tiny("mib", "2-2-overlapped").record
    assert not np.array(blind.steps[0].confusion).any()
    assert blind.steps[1].confusion == plain.steps[1].confusion
    assert blind.steps[1].losses == plain.steps[1].losses
