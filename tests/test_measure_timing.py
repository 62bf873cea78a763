"""Phases with a clock that moves only when told to; no assertion on real time."""

import pytest
import torch
from torch import nn

from benchmark.measure.timing import PhaseClock, latency

CPU = torch.device("cpu")


class FakeTime:
    """Seconds that pass by hand, and when the device was waited for."""

    def __init__(self):
        self.seconds, self.waits = 0.0, []

    def __call__(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.fixture
def now():
    return FakeTime()


def test_phases_add_up_and_what_is_between_them_is_nobodys(now):
    clock = PhaseClock(CPU, now)
    for seconds in (3, 4):
        with clock.phase("train"):
            now.sleep(seconds)
        now.sleep(100)
    with clock.phase("evaluate"):
        now.sleep(5)
    assert clock.seconds == {"train": 7, "evaluate": 5}
    assert clock.waited == {"train": 0, "evaluate": 0}


def test_waiting_is_apart_and_pauses_are_off_the_clock(now):
    clock = PhaseClock(CPU, now)
    with clock.phase("train"):
        for _ in range(2):
            with clock.waiting():
                now.sleep(10)
            now.sleep(1)
            with clock.paused():
                now.sleep(1000)
    assert (clock.seconds, clock.waited) == ({"train": 2}, {"train": 20})


def test_waiting_and_pauses_outside_of_a_phase_touch_no_phase(now):
    clock = PhaseClock(CPU, now)
    with clock.waiting():
        now.sleep(3)
    with clock.paused():
        now.sleep(3)
    with clock.phase("train"):
        now.sleep(1)
    assert (clock.seconds, clock.waited) == ({"train": 1}, {"train": 0})


def test_a_phase_that_fails_charges_nothing_and_leaves_the_clock_usable(now):
    clock = PhaseClock(CPU, now)
    with pytest.raises(ArithmeticError), clock.phase("train"), clock.waiting():
        now.sleep(7)
        raise ArithmeticError
    assert (clock.seconds, clock.waited) == ({}, {})
    with clock.phase("train"), clock.waiting():
        now.sleep(2)
    assert (clock.seconds, clock.waited) == ({"train": 0}, {"train": 2})


def test_what_would_be_charged_twice_is_refused(now):
    clock = PhaseClock(CPU, now)
    nested = pytest.raises(RuntimeError, match="'evaluate' inside of phase 'train'")
    with clock.phase("train"), nested, clock.phase("evaluate"):
        pass
    with clock.phase("train"), clock.waiting(), pytest.raises(RuntimeError, match="nest"), clock.paused():
        pass


def test_cuda_is_waited_for_once_at_each_edge_and_never_around_data(now, monkeypatch):
    """Work asked for in a phase runs on behind: it takes its time only when the device is waited for."""
    behind = []

    def synchronise(device):
        now.waits.append(now.seconds)
        now.sleep(sum(behind))
        behind.clear()

    monkeypatch.setattr(torch.cuda, "synchronize", synchronise)
    clock = PhaseClock(torch.device("cuda"), now)
    behind.append(50)  # from before the phase
    with clock.phase("train"):
        now.sleep(1)
        behind.append(10)
        with clock.waiting():
            now.sleep(2)
        with clock.paused():
            now.sleep(100)
            behind.append(200)
        behind.append(20)
    assert (clock.seconds, clock.waited) == ({"train": 1 + 10 + 20}, {"train": 2})
    assert len(now.waits) == 4  # two edges of the phase, two of the pause


class Slow(nn.Module):
    """Takes the seconds it is told to, and says what it saw."""

    def __init__(self, now, seconds):
        super().__init__()
        self.now, self.seconds = now, iter(seconds)
        self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm2d(3)
        self.seen = set()

    def forward(self, image):
        self.now.sleep(next(self.seconds))
        self.seen.add((self.training, torch.is_grad_enabled(), image.shape[0]))
        return self.drop(self.norm(image)) + torch.rand(1)


def test_latency_is_the_median_after_the_warm_up(now):
    model = Slow(now, [90, 80, 3, 1, 2, 70, 4])
    image = torch.zeros(1, 3, 4, 4)
    stream, norm = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    assert latency(model, image, repeats=5, warm_up=2, now=now) == 3
    assert model.seen == {(False, False, 1)}
    assert model.training and model.drop.training and torch.is_grad_enabled()
    assert torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(v, norm[k]) for k, v in model.state_dict().items())


def test_latency_of_nothing_is_refused(now):
    with pytest.raises(ValueError, match="at least 1 repeat, got 0"):
        latency(Slow(now, []), torch.zeros(1, 3, 4, 4), repeats=0)


def test_latency_by_the_real_clock_is_positive():
    assert latency(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 8, 8), repeats=2) > 0
