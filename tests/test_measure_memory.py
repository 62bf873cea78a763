"""Live bytes by hand, against a walk over C++ weak references, and against torch's own CPU allocator."""

import gc
import weakref

import pytest
import timm
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.measure import memory as memory_module
from benchmark.measure.flops import FlopTracker
from benchmark.measure.memory import LiveTensorTracker, PhaseMemory
from benchmark.record import PeakBytes

CPU = torch.device("cpu")
KIB = 256  # floats in 1024 bytes


# --- by hand


def test_allocate_view_and_free():
    with LiveTensorTracker() as tracker:
        a = torch.zeros(KIB)
        assert tracker.live_bytes == 1024
        view = a.view(16, 16)[2:]
        assert tracker.live_bytes == 1024
        del a
        assert tracker.live_bytes == 1024  # the view holds the whole storage
        b = torch.ones(3 * KIB)
        assert tracker.live_bytes == 4096
        del view, b
        assert tracker.live_bytes == 0
    assert (tracker.peak_bytes, tracker.peak_parts) == (4096, {"activations": 4096})


def test_in_place_operations_allocate_nothing_and_a_chain_frees_as_it_goes():
    with LiveTensorTracker() as tracker:
        a = torch.zeros(KIB)
        a.add_(1).mul_(2)
        assert tracker.peak_bytes == 1024
        for _ in range(5):
            a = a * 2
    assert (tracker.live_bytes, tracker.peak_bytes) == (1024, 2048)


def test_storages_that_grow_and_shrink():
    with LiveTensorTracker() as tracker:
        a = torch.zeros(KIB)
        a.resize_(4 * KIB)
        assert tracker.live_bytes == 4096
        a.untyped_storage().resize_(0)
        a.detach()
        assert tracker.live_bytes == 0
    assert tracker.peak_bytes == 4096


def test_other_sizes_of_elements():
    with LiveTensorTracker() as tracker:
        kept = (
            torch.zeros(10, dtype=torch.bool),
            torch.zeros(10, dtype=torch.bfloat16),
            torch.zeros(10).double(),
        )
    assert tracker.live_bytes == 10 + 20 + 80 and len(kept) == 3


def test_tensors_from_before_count_once_they_are_read():
    a = torch.zeros(KIB)
    with LiveTensorTracker() as tracker:
        assert tracker.live_bytes == 0
        b = a + 1
    assert tracker.live_bytes == 2048 == a.nbytes + b.nbytes


def test_what_autograd_saves_lives_until_backward_frees_it():
    x = torch.zeros(KIB, requires_grad=True)
    with LiveTensorTracker() as tracker:
        y = x.exp()  # saves its result
        loss = (y * y).sum()
        del y
        assert tracker.live_bytes == 2048 + 4  # x, y in the graph, the loss
        loss.backward()
        assert tracker.live_bytes == 2048 + 4  # x, its gradient, the loss; the graph is gone
    assert x.grad is not None


def test_parts_of_a_training_iteration_by_hand():
    first, second = nn.Linear(KIB, KIB, bias=False), nn.Linear(KIB, KIB, bias=False)
    teacher = nn.Linear(KIB, KIB, bias=False).requires_grad_(False)
    model = nn.Sequential(first.requires_grad_(False), second)
    optimiser = torch.optim.SGD(second.parameters(), lr=0.1, momentum=0.9)
    state = {"m.prototypes": torch.zeros(3 * KIB)}
    weight = KIB * KIB * 4
    batch = torch.zeros(1, KIB)
    with LiveTensorTracker(model, teacher, optimiser, state) as tracker:
        hidden = model[0](batch)
        loss = (model[1](hidden) - teacher(batch)).square().sum()
        loss.backward()
        assert (
            tracker.live_bytes == 4 * weight + 3 * 1024 + 2 * 1024 + 4
        )  # + gradient, state, batch and hidden
        optimiser.step()
    parts = tracker.peak_parts
    assert parts["parameters"] == 2 * weight
    assert parts["gradients"] == parts["optimiser"] == parts["teacher"] == weight
    assert parts["state"] == 3 * 1024
    assert sum(parts.values()) == tracker.peak_bytes


def test_a_buffer_made_inside_is_named_by_who_keeps_it():
    state = {}
    model, batch = nn.Linear(KIB, 1, bias=False), torch.zeros(1, KIB)
    with LiveTensorTracker(model, state=state) as tracker:
        model(batch).sum().backward()
        state["m.importance"] = model.weight.grad.square()
    assert tracker.peak_parts["state"] == 1024 == tracker.peak_parts["gradients"]


def test_gradients_freed_before_the_end_were_gradients_at_the_peak():
    model = nn.Linear(KIB, KIB, bias=False)
    with LiveTensorTracker(model) as tracker:
        model(torch.zeros(1, KIB)).sum().backward()
        model.zero_grad(set_to_none=True)
    weight = KIB * KIB * 4
    assert tracker.peak_parts["gradients"] == weight == tracker.peak_parts["parameters"]
    assert tracker.live_bytes < weight + 3 * 1024


def test_a_teacher_that_shares_frozen_weights_with_the_student_counts_once():
    student, teacher = nn.Linear(KIB, KIB, bias=False), nn.Linear(KIB, KIB, bias=False)
    teacher.weight.data = student.weight.data
    with LiveTensorTracker(student, teacher) as tracker:
        pass
    assert tracker.peak_parts == {"parameters": KIB * KIB * 4}


def test_other_devices_do_not_count():
    with LiveTensorTracker(device=CPU) as tracker:
        kept = torch.zeros(KIB, device="meta")
    assert tracker.peak_bytes == 0
    with LiveTensorTracker() as tracker:
        kept = torch.zeros(KIB, device="meta")
    assert tracker.peak_bytes == 1024 == kept.nbytes


def test_sparse_tensors_do_not_stop_it():
    with LiveTensorTracker() as tracker:
        assert torch.eye(16).to_sparse().to_dense().sum() == 16
    assert tracker.peak_bytes >= 1024


def test_the_peak_of_a_tracker_that_saw_nothing():
    with LiveTensorTracker() as tracker:
        pass
    assert (tracker.peak_bytes, tracker.peak_parts) == (0, {})


# --- against independent implementations


class Walk(TorchDispatchMode):
    """After every operator, adds up all storages whose C++ weak reference is still alive."""

    def __init__(self, *held):
        super().__init__()
        self.held, self.seen, self.peak = held, {}, 0

    def __enter__(self):
        self.look(self.held)
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.look((args, kwargs))
        out = func(*args, **(kwargs or {}))
        self.look(out)
        return out

    def look(self, tree):
        for leaf in tree_leaves(tree):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self.seen[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.seen = {key: seen for key, seen in self.seen.items() if not seen[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.seen.values()))


class Block(nn.Module):
    """Attention, written out, and normalisation."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        return x + ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).flatten(2)


def networks():
    mixed = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Conv2d(8, 4, 1)
    )
    frozen = timm.create_model("resnet18", num_classes=3)
    for parameter in list(frozen.parameters())[:40]:
        parameter.requires_grad_(False)
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=3)
    block = nn.Sequential(nn.Unflatten(3, (8, 8)), nn.Flatten(1, 3), nn.Linear(8, 32), Block(32), nn.GELU())
    return {"block": block, "mixed": mixed, "frozen": frozen, "vit": vit}


def step(model, image, optimiser):
    model(image).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", ["block", "mixed", "frozen", "vit"])
def test_peak_against_a_walk_after_every_operator(name):
    model, image = networks()[name], torch.randn(2, 3, 64, 64)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    step(model, image, optimiser)
    held = [*model.parameters(), *model.buffers(), *(s["momentum_buffer"] for s in optimiser.state.values())]
    walk = Walk(*held)
    with walk:
        step(model, image, optimiser)
    with LiveTensorTracker(model, None, optimiser) as tracker:
        step(model, image, optimiser)
    assert tracker.peak_bytes == walk.peak > 0
    assert sum(tracker.peak_parts.values()) == tracker.peak_bytes


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        ("block", 0),  # to the byte
        ("mixed", 0.03),  # convolutions and fused attention use some inside themselves
        ("frozen", 0.03),
    ],
)
def test_peak_against_torchs_cpu_allocator(name, unseen):
    model, image = networks()[name], torch.randn(2, 3, 64, 64)
    optimiser = torch.optim.AdamW(model.parameters())
    step(model, image, optimiser)
    with LiveTensorTracker(model, None, optimiser) as before:
        image.view(-1)
    with LiveTensorTracker(model, None, optimiser) as tracker:
        step(model, image, optimiser)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(model, image, optimiser)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    running, peak = before.live_bytes, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        running += event.nbytes()
        peak = max(peak, running)
    assert peak * (1 - unseen) <= tracker.peak_bytes <= peak


def test_live_bytes_against_a_walk_over_the_garbage_collector():
    with LiveTensorTracker() as tracker:
        kept = [torch.zeros(n) for n in range(1, 60)]
        kept = [t.view(-1)[:1] if i % 3 else t * 2 for i, t in enumerate(kept)]
        kept += [t.t() for t in kept]
        ours = {id(t) for t in kept}
        found = [o for o in gc.get_objects() if type(o) is torch.Tensor and id(o) in ours]
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in found}
        assert tracker.live_bytes == sum(storages.values()) > 0


# --- leaves no trace


def test_changes_no_bit_of_losses_gradients_and_weights_and_holds_nothing():
    results = []
    for tracked in (False, True):
        torch.manual_seed(0)
        model, image = networks()["mixed"], torch.randn(2, 3, 16, 16)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        tracker = LiveTensorTracker(model, None, optimiser) if tracked else torch.enable_grad()
        with tracker:
            loss = model(image).square().mean()
            loss.backward()
            gradients = [p.grad.clone() for p in model.parameters()]
            optimiser.step()
        results.append([loss.detach(), *gradients, *model.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_a_tracker_that_is_dropped_frees_its_model():
    model = nn.Linear(4, 4)
    with LiveTensorTracker(model) as tracker:
        model(torch.zeros(1, 4)).sum().backward()
    gone = weakref.ref(model)
    del model, tracker
    gc.collect()
    assert gone() is None


def test_works_beside_the_flop_counter():
    model = nn.Linear(KIB, 4, bias=False)
    with LiveTensorTracker(model) as tracker, FlopTracker() as flops:
        model(torch.zeros(2, KIB)).sum().backward()
    assert flops.flops == 2 * 2 * 2 * KIB * 4
    assert tracker.peak_parts["gradients"] == KIB * 4 * 4


# --- by phase


def test_phases_on_a_cpu_know_live_tensors_where_they_were_tracked_and_nothing_else():
    memory = PhaseMemory(CPU)
    with memory.phase("prepare"):
        torch.zeros(KIB).sum()
    with memory.phase("train"):
        for size in (2, 5, 3):
            with memory.track():
                torch.zeros(size * KIB)
    assert memory.peaks == {
        "prepare": PeakBytes(),
        "train": PeakBytes(live_tensors=5 * 1024, parts={"activations": 5 * 1024}),
    }


def test_a_tracker_may_be_made_before_its_phase_begins():
    memory = PhaseMemory(CPU)
    tracking = memory.track(nn.Linear(KIB, 1, bias=False))
    with memory.phase("train"), tracking:
        pass
    assert memory.peaks["train"].parts == {"parameters": 1024}


def test_phases_do_not_nest_and_tracking_needs_one():
    memory = PhaseMemory(CPU)
    with pytest.raises(RuntimeError, match="outside of a phase"), memory.track():
        pass
    inside = pytest.raises(RuntimeError, match="'evaluate' inside of phase 'train'")
    with memory.phase("train"), inside, memory.phase("evaluate"):
        pass


class FakeCuda:
    """Peaks of an allocator that only knows resets."""

    def __init__(self, *peaks):
        self.peaks, self.calls = list(peaks), []

    def reset_peak_memory_stats(self, device):
        self.calls.append("reset")

    def max_memory_allocated(self, device):
        self.calls.append("read")
        return self.peaks.pop(0)

    def max_memory_reserved(self, device):
        return 1000


def test_phases_on_cuda_reset_at_the_start_read_at_the_end_and_keep_the_higher(monkeypatch):
    cuda = FakeCuda(70, 90, 80)
    for name in ("reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    monkeypatch.setattr(memory_module, "process_bytes", lambda device: 5000)
    memory = PhaseMemory(torch.device("cuda"))
    for name in ("prepare", "train", "train"):
        with memory.phase(name), memory.track():
            torch.zeros(3)
    assert cuda.calls == ["reset", "read"] * 3
    assert memory.peaks == {
        "prepare": PeakBytes(cuda_allocated=70, cuda_reserved=1000, nvml_process=5000),
        "train": PeakBytes(cuda_allocated=90, cuda_reserved=1000, nvml_process=5000),
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_peaks_hold_what_was_allocated():
    memory = PhaseMemory(torch.device("cuda"))
    with memory.phase("train"):
        torch.zeros(1 << 20, device="cuda")
    peak = memory.peaks["train"]
    assert peak.cuda_reserved >= peak.cuda_allocated >= 4 << 20 and peak.live_tensors is None
