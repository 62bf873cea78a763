"""Loss terms where arithmetic goes wrong: zeros, ties, huge values, half precision, no data to look at."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from loss_cases import SIZES, TERMS, Toy, leaf, mixed, toy
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmark import losses

ORDINARY = SIZES["ordinary"]


def batch(dtype: torch.dtype = torch.float32) -> Toy:
    return toy(ORDINARY, dtype, mixed)


def value_and_gradients(term: str, given: Toy) -> tuple[Tensor, list[Tensor]]:
    logits, features = leaf(given.logits), leaf(given.features)
    value = TERMS[term][0](given._replace(logits=logits, features=features))
    value.backward()
    return value.detach(), [x.grad for x in (logits, features) if x.grad is not None]


def assert_finite(term: str, given: Toy) -> None:
    value, gradients = value_and_gradients(term, given)
    assert value.isfinite(), term
    assert gradients, term
    assert all(gradient.isfinite().all() for gradient in gradients), term


BATCHES: dict[str, Callable[[Toy], Toy]] = {
    "dead features": lambda t: t._replace(features=t.features * 0),
    "dead teacher": lambda t: t._replace(previous_features=t.features * 0, prototypes=t.prototypes * 0),
    "dead everything": lambda t: Toy(*(x * 0 for x in t)),
    "constant features": lambda t: t._replace(features=torch.ones_like(t.features)),
    "some dead images": lambda t: t._replace(features=t.features * torch.tensor([0, 1, 0]).view(3, 1, 1, 1)),
    "features of nearly nothing": lambda t: t._replace(features=t.features * 1e-30),
    "huge features": lambda t: t._replace(features=t.features * 1e6, previous_features=-t.features * 1e6),
    "certain logits": lambda t: t._replace(
        logits=t.logits.sign() * 6e4, previous_logits=-t.previous_logits.sign() * 6e4
    ),
    "equal logits": lambda t: t._replace(logits=t.logits * 0 + 3, previous_logits=t.previous_logits * 0),
    "as the teacher": lambda t: t._replace(logits=t.logits, previous_features=t.features),
}


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("term", TERMS)
def test_values_and_gradients_stay_finite(term: str, kind: str) -> None:
    assert_finite(term, BATCHES[kind](batch()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_do_not_overflow_in_half_precision(dtype: torch.dtype) -> None:
    """Near the largest float16, in which squares, sums and exponentials of them would be infinite."""
    given = batch()
    big = given._replace(
        logits=(given.logits.sign() * 6e4).to(dtype),
        previous_logits=(given.previous_logits.sign() * 6e4).to(dtype),
        features=(given.features.sign() * 6e4).to(dtype),
        previous_features=(given.previous_features.sign() * -5e4).to(dtype),
    )
    for term, (ours, _) in TERMS.items():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert ours(big).isfinite(), term


def test_autocast_changes_no_digit() -> None:
    for term, (ours, _) in TERMS.items():
        given = batch()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = ours(given)
        assert torch.equal(inside, ours(given)), term


def test_a_gradient_of_identical_centroids_is_none_and_does_not_hide_the_others() -> None:
    # Classes 1 and 2 at (0, 0), class 3 at (3, 4): two pairs count, each 1/5, each pulling class 3 outwards
    # by 1/d^2 = 1/25 along (3, 4)/5, mean over the two pairs: -(3, 4)/125 in all.
    f = leaf(torch.tensor([[0.0, 0, 3], [0, 0, 4]]).view(1, 2, 1, 3))
    losses.repulsion(f, torch.tensor([[[1, 2, 3]]]), 4).backward()
    assert f.grad is not None
    assert f.grad[0, :, 0, 2].tolist() == pytest.approx([-3 / 125, -4 / 125])
    assert f.grad[0, :, 0, 0].tolist() == pytest.approx([3 / 250, 4 / 250])


def test_sparsity_takes_a_sum_that_only_rounding_lifts_above_zero_for_zero() -> None:
    # (1, -1 + 2^-24) adds up to 6e-8, the last digit of 1: a loss of 5e7 if it counted.
    # The other pixel: (e + 1) / 1.
    f = leaf(torch.tensor([[1.0, 1], [-1 + 2**-24, 0]]).view(1, 2, 1, 2))
    value = losses.sparsity(f, torch.ones(1, 1, 2, dtype=torch.long), 2)
    assert value.item() == pytest.approx(math.e + 1)


def test_repulsion_does_not_round_with_150_classes() -> None:
    """Means far from 0, close to each other, exact in float32: a matrix product loses the distance."""
    g = torch.Generator().manual_seed(0)
    f = 512 + torch.randint(0, 64, (1, 16, 10, 15), generator=g) / 64
    y = torch.arange(150).view(1, 10, 15)
    means = f.double().flatten(2)[0].t()
    exact = (means[:, None] - means[None]).square().sum(2).sqrt()
    expected = (1 / exact[~torch.eye(150, dtype=torch.bool)]).mean().item()
    assert losses.repulsion(f, y, 150).item() == pytest.approx(expected, rel=1e-6)
    rounded = torch.cdist(means.float(), means.float())[~torch.eye(150, dtype=torch.bool)]
    assert (1 / rounded).mean().item() != pytest.approx(expected, rel=1e-3)


def test_class_sums_of_many_pixels_keep_their_digits() -> None:
    g = torch.Generator().manual_seed(0)
    f = torch.rand(2, 3, 64, 64, generator=g)
    sums, counts = losses.class_sums(f, torch.zeros(2, 8, 8, dtype=torch.long), 1)
    assert counts.tolist() == [2 * 64 * 64]
    torch.testing.assert_close(sums[0].double(), f.double().sum((0, 2, 3)), rtol=5e-6, atol=0)


def test_label_255_is_no_class_even_where_256_are_allowed() -> None:
    f = torch.randn(1, 2, 1, 3)
    y = torch.tensor([[[254, 255, -1]]])
    assert losses.class_sums(f, y, 256).counts.nonzero().tolist() == [[254]]


@pytest.mark.parametrize("term", TERMS)
def test_bits_repeat(term: str) -> None:
    first, second = (value_and_gradients(term, batch()) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


@pytest.mark.parametrize("term", TERMS)
def test_inputs_are_left_as_they_were(term: str) -> None:
    given, before = batch(), batch()
    value_and_gradients(term, given)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize("term", TERMS)
def test_memory_layout_does_not_matter(term: str) -> None:
    given = batch()
    names = ("logits", "previous_logits", "features", "previous_features")
    last = {name: getattr(given, name).contiguous(memory_format=torch.channels_last) for name in names}
    value, gradients = value_and_gradients(term, given)
    other, others = value_and_gradients(term, given._replace(**last))
    assert other.item() == pytest.approx(value.item(), rel=1e-5)
    for a, b in zip(gradients, others, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("term", TERMS)
def test_terms_trace_without_data(term: str) -> None:
    """Under fake tensors and on meta, anything that looks at a value or makes a shape of one raises."""
    with FakeTensorMode(), torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradients = value_and_gradients(term, batch())
        assert value.shape == ()
        assert gradients
    value, gradients = value_and_gradients(term, Toy(*(x.to("meta") for x in batch())))
    assert value.device.type == "meta"
    assert gradients


def test_helpers_trace_without_data() -> None:
    given = Toy(*(x.to("meta") for x in batch()))
    medians = losses.entropy_medians(losses.entropy_histogram(given.previous_logits, given.target))
    assert losses.pseudo_labels(given.previous_logits, given.target, medians).target.shape == (3, 13, 17)
    assert losses.merge_new_into_background(given.logits, 4).shape == (3, 4, 13, 17)
    assert losses.scaled_importance(given.prototypes).shape == given.prototypes.shape
    assert losses.quadratic_penalty([given.features], [given.features], [given.features]).value.shape == ()
