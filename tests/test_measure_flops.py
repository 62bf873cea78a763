"""Multiply-adds and FLOPs against hand-computed numbers, and the two counters against each other."""

import itertools
import logging
from math import prod
from typing import NamedTuple

import pytest
import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmark.measure.flops import FlopTracker, count_macs
from benchmark.measure.formulas import einsum_macs
from benchmark.model import Classifier


class Attention(nn.Module):
    """One block of self-attention (B, L, D), fused or written out."""

    def __init__(self, width=8, heads=2, fused=True):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (self.split(layer(x)) for layer in (self.q, self.k, self.v))
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q / q.shape[-1] ** 0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))

    def split(self, x):
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def tracked_macs(model, *inputs):
    with torch.no_grad(), FlopTracker() as tracker:
        model(*inputs)
    assert tracker.flops % 2 == 0
    return tracker.flops // 2


def both(model, image):
    macs = count_macs(model, image).macs
    assert tracked_macs(model, image) == macs
    return macs


def backward_flops(loss):
    with FlopTracker() as tracker:
        loss.backward()
    return tracker.flops


# --- layers by hand


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (nn.Conv2d(6, 8, 3), 8 * 6 * 9 * 18 * 14),
        (nn.Conv2d(6, 8, 3, stride=2, padding=1), 8 * 6 * 9 * 10 * 8),
        (nn.Conv2d(6, 8, 3, dilation=3), 8 * 6 * 9 * 14 * 10),
        (nn.Conv2d(6, 8, 3, padding="same", groups=2), 8 * 3 * 9 * 20 * 16),
        (nn.Conv2d(6, 6, 5, groups=6), 6 * 25 * 16 * 12),
        (nn.Conv2d(6, 8, 1, bias=False), 8 * 6 * 20 * 16),
        (nn.ConvTranspose2d(6, 8, 2, stride=2), 6 * 8 * 4 * 20 * 16),
        (nn.BatchNorm2d(6), 0),
        (nn.Upsample(scale_factor=2, mode="bilinear"), 0),
        (nn.AdaptiveAvgPool2d(3), 0),
        (nn.GroupNorm(2, 6), 0),
    ],
)
def test_layers_on_two_images_by_hand(layer, macs):
    assert both(layer, torch.zeros(2, 6, 20, 16)) == 2 * macs


def test_a_linear_layer_by_hand():
    assert both(nn.Linear(5, 7), torch.zeros(3, 4, 5)) == 3 * 4 * 5 * 7


@pytest.mark.parametrize("fused", [True, False])
def test_an_attention_block_by_hand(fused):
    batch, length, width, heads = 3, 10, 8, 2
    projections = 4 * batch * length * width**2
    products = 2 * batch * heads * length**2 * (width // heads)
    assert both(Attention(width, heads, fused), torch.zeros(batch, length, width)) == projections + products


def test_attention_with_a_mask_costs_the_same():
    class Masked(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(10, 10))

    assert both(Masked(), torch.zeros(1, 2, 10, 4)) == 2 * 2 * 10 * 10 * 4


def test_torchs_own_attention_module_is_counted_whole():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    expected = 4 * 10 * 8**2 + 2 * 2 * 10**2 * 4
    count = count_macs(Own().eval(), torch.zeros(1, 10, 8))
    assert count.macs == expected and not count.suspects
    assert torch.backends.mha.get_fastpath_enabled()


def test_lora_of_rank_r_on_query_and_value_by_hand():
    width, rank, length = 8, 3, 10
    model = Attention(width)
    x = torch.zeros(1, length, width)
    plain = both(model, x)
    inject_adapter_in_model(
        LoraConfig(r=rank, target_modules=["q", "v"], init_lora_weights="gaussian"), model
    )
    assert both(model, x) - plain == 2 * length * (width * rank + rank * width)


def test_a_classifier_that_grows_by_hand():
    classifier, features = Classifier(16, 5), torch.zeros(1, 16, 6, 7)
    classifier.grow(1)
    classifier.grow(3)
    assert both(classifier, features) == 16 * (5 + 1 + 3) * 6 * 7


class Apply(nn.Module):
    def __init__(self, function, *others):
        super().__init__()
        self.function, self.others = function, others

    def forward(self, x):
        return self.function(x, *self.others)


@pytest.mark.parametrize(
    ("left", "right"), [((4, 5), (3, 5, 2)), ((3, 4, 5), (5, 2)), ((3, 1, 4, 5), (2, 5, 6)), ((4, 5), (5,))]
)
def test_products_that_broadcast_count_one_per_output_and_inner_index(left, right):
    out = torch.empty(left) @ torch.empty(right)
    assert both(Apply(torch.matmul, torch.empty(right)), torch.empty(left)) == out.numel() * 5


@pytest.mark.parametrize("function", [torch.dot, torch.vdot, torch.linalg.vecdot])
def test_products_of_two_vectors_count_their_length(function):
    assert both(Apply(function, torch.zeros(7)), torch.zeros(7)) == 7


def test_several_products_of_vectors_at_once_are_element_wise_to_both_counters():
    assert both(Apply(torch.linalg.vecdot, torch.zeros(3, 7)), torch.zeros(3, 7)) == 0


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("bhwc,hkc->bhwk", [(2, 5, 3, 4), (5, 7, 4)]),
        ("...ij, ...kj -> ...ik", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("bij,bij->b", [(2, 3, 4), (2, 3, 4)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ],
)
def test_einsum_against_loops_over_every_index(equation, shapes):
    if "..." in equation:
        looped = 2 * 3 * 4 * 6 * 5
    elif len(shapes) == 3:
        looped = 2 * 3 * 4 + 2 * 4 * 5  # from left to right
    else:
        size = {
            letter: n
            for term, shape in zip(equation.split("->")[0].split(","), shapes, strict=True)
            for letter, n in zip(term, shape, strict=True)
        }
        looped = sum(1 for _ in itertools.product(*(range(n) for n in size.values())))
    assert einsum_macs(equation, shapes) == looped


def test_einsum_agrees_between_counters():
    module = Apply(lambda x, y: torch.einsum("bhwc,hkc->bhwk", x, y), torch.zeros(5, 7, 4))
    assert both(module, torch.zeros(2, 5, 3, 4)) == 2 * 5 * 3 * 4 * 7


# --- whole networks


@pytest.mark.parametrize(("name", "billions"), [("resnet50", 4.1), ("vit_base_patch16_224", 17.6)])
def test_published_counts_and_both_counters_agree_to_the_unit(name, billions):
    model = timm.create_model(name)
    assert both(model.eval(), torch.zeros(1, 3, 224, 224)) / 1e9 == pytest.approx(billions, rel=0.03)


# --- the tracer leaves no trace


class Pair(NamedTuple):
    first: Tensor
    rest: tuple[Tensor, ...]


class Messy(nn.Module):
    """All that counting could disturb: dropout, running statistics, a module in eval, a NamedTuple."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.frozen = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 2, 1)
        self.unused = nn.Linear(9, 9)

    def forward(self, x):
        y = self.first(x)
        return Pair(y, (self.second(self.frozen(y)), y + torch.rand_like(y)))


def test_counting_leaves_model_and_random_stream_as_they_were(capfd, caplog):
    model = Messy().train()
    model.frozen.eval()
    modes = [m.training for m in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.get_rng_state()
    with caplog.at_level(logging.DEBUG):
        count = count_macs(model, torch.zeros(1, 3, 9, 9))
    assert count.macs == 4 * 27 * 49 + 8 * 49
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert caplog.text == "" and capfd.readouterr() == ("", "")


def test_modes_come_back_after_a_model_that_fails():
    class Fails(nn.Module):
        def forward(self, x):
            raise ArithmeticError("no")

    model = Fails().train()
    with pytest.raises(ArithmeticError):
        count_macs(model, torch.zeros(1))
    assert model.training and torch.is_grad_enabled()


# --- what is not counted is listed


def test_uncounted_operators_and_their_share():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return F.gelu(self.layer(x).view(2, 2) * 2).softmax(-1).flatten()

    model = Model()
    count = count_macs(model, torch.zeros(1, 4))
    assert count.uncounted == {"aten::mul": 1, "aten::gelu": 1, "aten::softmax": 1}
    assert count.uncounted_share == 3 / 4 and count.suspects == {}
    with torch.no_grad(), FlopTracker() as tracker:
        model(torch.zeros(1, 4))
    assert tracker.uncounted == {"aten::mul": 1, "aten::gelu": 1, "aten::_softmax": 1}
    assert tracker.uncounted_share == 3 / 4 and tracker.suspects == {}


@torch.library.custom_op("cssbench_test::mix", mutates_args=())
def foreign_kernel(x: Tensor) -> Tensor:
    return x @ x


def test_operators_that_may_hide_multiply_adds_are_suspects():
    count = count_macs(Apply(foreign_kernel), torch.zeros(3, 3))
    assert (count.macs, count.suspects) == (0, {"cssbench_test::mix": 1})
    with FlopTracker() as tracker:
        foreign_kernel(torch.zeros(3, 3))
        torch.cdist(torch.zeros(3, 3), torch.zeros(4, 3))
    assert tracker.flops == 0
    assert tracker.suspects == {"cssbench_test::mix": 1, "aten::_cdist_forward": 1}


def test_nothing_run_is_nothing_counted():
    tracker = FlopTracker()
    assert (tracker.flops, tracker.uncounted_share, tracker.suspects) == (0, 0.0, {})


# --- FLOPs of training


def test_agrees_with_torchs_counter_on_a_training_iteration():
    model = timm.create_model("resnet18", num_classes=5)
    image = torch.randn(2, 3, 32, 32)
    with FlopCounterMode(display=False) as theirs:
        model(image).sum().backward()
    with FlopTracker() as ours:
        model(image).sum().backward()
    assert ours.flops == theirs.get_total_flops() > 0


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("transposed", [False, True])
def test_each_gradient_of_a_convolution_costs_one_forward_pass(groups, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(6, 12, 3, stride=2, groups=groups, bias=False)
    image = torch.randn(2, 6, 9, 9, requires_grad=True)
    once = 2 * 2 * (6 * 12 // groups) * 9 * (9 * 9 if transposed else 4 * 4)
    assert backward_flops(layer(image).sum()) == 2 * once
    layer.weight.requires_grad_(False)
    assert backward_flops(layer(image).sum()) == once
    layer.weight.requires_grad_(True)
    assert backward_flops(layer(image.detach()).sum()) == once


def test_frozen_parts_cost_what_backward_still_needs_of_them():
    first, middle, last = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 6)
    model, x = nn.Sequential(first, middle, last), torch.randn(7, 3)
    one, two, three = (2 * 7 * n for n in (3 * 4, 4 * 5, 5 * 6))
    assert backward_flops(model(x).sum()) == one + 2 * two + 2 * three  # the data needs no gradient
    middle.requires_grad_(False)
    assert backward_flops(model(x).sum()) == one + two + 2 * three  # passed through, not updated
    first.requires_grad_(False)
    assert backward_flops(model(x).sum()) == three  # nothing below is needed


def test_fused_attention_backward_computes_the_scores_once_more():
    q, k, v = (torch.randn(2, 3, 10, 4, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 3 * 10 * 10 * 4
    fused = backward_flops(F.scaled_dot_product_attention(q, k, v).sum())
    plain = backward_flops(((q / 2 @ k.transpose(-2, -1)).softmax(-1) @ v).sum())
    assert (plain, fused) == (4 * product, 5 * product)


def test_parts_add_up_and_go_to_the_innermost():
    student, teacher, x = nn.Linear(4, 4), nn.Linear(4, 2), torch.randn(3, 4)
    with FlopTracker() as tracker:
        with tracker.part("student"):
            y = student(x)
            with tracker.part("teacher"), torch.no_grad():
                teacher(x)
        y.sum().backward()
    assert tracker.by_part == {"student": 96, "teacher": 48, "": 96}
    assert tracker.flops == 240 == sum(tracker.by_operator.values())


def test_inference_mode_counts_the_same():
    model, x = Attention(), torch.randn(1, 10, 8)
    with torch.inference_mode(), FlopTracker() as tracker:
        out = model(x)
    assert tracker.flops // 2 == tracked_macs(model, x)
    assert torch.equal(out, model(x).detach())


def test_counts_on_meta_tensors_without_any_weights():
    with torch.device("meta"):
        model, image = nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 1000, 1000)
    assert tracked_macs(model, image) == 8 * 27 * 998**2


def test_an_optimiser_and_fake_tensors_raise_no_suspicion():
    layer = nn.Linear(3, 4)
    with FakeTensorMode(allow_non_fake_inputs=True), FlopTracker() as tracker:
        layer(torch.empty(2, 3)).sum().backward()
        torch.optim.SGD(layer.parameters(), lr=0.1).step()
    assert tracker.flops == 2 * 2 * 2 * 12 and not tracker.suspects


def iteration(model, image, optimiser):
    torch.manual_seed(1)
    loss = model(image).square().mean()
    loss.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    optimiser.step()
    return [loss.detach(), *gradients, *(value.clone() for value in model.state_dict().values())]


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(True), nn.Dropout(0.2), nn.Upsample(scale_factor=2)
        ),
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=3, drop_rate=0.1),
    ],
)
def test_changes_no_bit_of_losses_gradients_and_weights(build):
    image = torch.randn(2, 3, 32, 32)
    results = []
    for context in (torch.enable_grad(), FlopTracker()):
        torch.manual_seed(0)
        model = build()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        with context:
            results.append(iteration(model, image, optimiser))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_iteration_on_cuda_costs_what_it_costs_on_a_cpu():
    flops = []
    for device in ("cpu", "cuda"):
        model = timm.create_model("resnet18", num_classes=5).to(device)
        with FlopTracker() as tracker:
            model(torch.randn(2, 3, 32, 32, device=device)).sum().backward()
        flops.append(tracker.flops)
    assert flops[0] == flops[1] and prod(flops) > 0
