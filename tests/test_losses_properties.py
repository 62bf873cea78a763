"""What must hold for the loss terms whatever the numbers are: gradients, limits, invariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from loss_cases import SIZES, TARGETS, TERMS, Toy, leaf, mixed, toy
from torch import Tensor

from benchmark import losses

ORDINARY = SIZES["ordinary"]
SMALL = SIZES["ordinary"]._replace(batch=2, image=(5, 4), features=(3, 4))


def batch(dtype: torch.dtype = torch.float64, seed: int = 0) -> Toy:
    return toy(ORDINARY, dtype, mixed, seed)


def gradients(term: str, given: Toy) -> list[Tensor]:
    """Return the gradients of a term by logits and by features, None where it does not depend on them."""
    logits, features = leaf(given.logits), leaf(given.features)
    TERMS[term][0](given._replace(logits=logits, features=features)).backward()
    return [x.grad for x in (logits, features) if x.grad is not None]


@pytest.mark.parametrize("term", TERMS)
def test_gradients_agree_with_finite_differences(term: str) -> None:
    given = toy(SMALL, torch.float64, mixed, seed=3)
    name = "logits" if TERMS[term][0](given._replace(logits=leaf(given.logits))).requires_grad else "features"

    def loss(values: Tensor) -> Tensor:
        return TERMS[term][0](given._replace(**{name: values}))

    assert torch.autograd.gradcheck(loss, leaf(getattr(given, name)))


@pytest.mark.parametrize("term", TERMS)
def test_only_the_student_gets_a_gradient(term: str) -> None:
    given = Toy(*map(leaf, batch()[:2]), batch().target, *map(leaf, batch()[3:]))
    TERMS[term][0](given).backward()
    for name in ("previous_logits", "previous_features", "prototypes", "thresholds"):
        assert getattr(given, name).grad is None, name
    assert given.logits.grad is not None or given.features.grad is not None


def test_penalty_gives_old_parameters_and_importance_nothing_to_learn() -> None:
    new, old = leaf(torch.tensor([2.0])), leaf(torch.tensor([1.0]))
    losses.quadratic_penalty([new], [old], [torch.tensor([3.0])]).value.backward()
    assert old.grad is None
    # d/dp W (p - p_old)^2 = 2 * 3 * 1
    assert new.grad is not None
    assert new.grad.item() == 6


def test_penalty_hands_over_its_gradient_and_goes_backward_once() -> None:
    new = [leaf(torch.tensor([2.0, 5.0])), leaf(torch.tensor([[1.0]]))]
    old = [torch.tensor([1.0, 1.0]), torch.tensor([[3.0]])]
    penalty = losses.quadratic_penalty(new, old, [torch.tensor([3.0, 0.5]), torch.tensor([[2.0]])])
    total = 10 * penalty.value + new[0].sum()
    total.backward(retain_graph=True)
    # 10 * 2 W (p - p_old), and the other term's 1 in the first tensor.
    assert [gradient.flatten().tolist() for gradient in penalty.gradients] == [[60, 40], [-80]]
    assert [p.grad.flatten().tolist() for p in new] == [[61, 41], [-80]]
    assert not any(gradient.requires_grad for gradient in penalty.gradients)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_penalty_is_in_single_precision_under_autocast() -> None:
    new, old = [leaf(torch.full((1000,), 2.0))], [torch.full((1000,), 1.0)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = losses.quadratic_penalty(new, old, [torch.full((1000,), 1.002)])
    assert penalty.value.dtype == torch.float32
    assert penalty.value.item() == pytest.approx(1002)


EMPTY_WHEN_IGNORED = [
    "cross_entropy",
    "unbiased_cross_entropy",
    "output_distillation, masked",
    "unbiased_distillation, masked",
    "entropy_weighted_distillation",
    "pair, cross entropy",
    "pair, distillation, masked",
    "unbiased pair, cross entropy",
    "sigmoid_distillation",
    "pseudo_label_cross_entropy",
    "feature_distillation, masked",
    "prototype_matching",
    "attraction",
    "repulsion",
    "sparsity",
]


@pytest.mark.parametrize("term", EMPTY_WHEN_IGNORED)
def test_terms_without_a_pixel_are_a_zero_with_a_graph(term: str) -> None:
    given = toy(ORDINARY, torch.float32, TARGETS["only ignored"])
    logits, features = leaf(given.logits), leaf(given.features)
    value = TERMS[term][0](given._replace(logits=logits, features=features))
    assert value.item() == 0
    value.backward()
    found = [x.grad for x in (logits, features) if x.grad is not None]
    assert found
    assert all((grad == 0).all() for grad in found)


def test_terms_on_pairs_or_old_classes_are_zero_without_them() -> None:
    given = batch()
    one = torch.ones_like(given.target)
    assert losses.repulsion(given.features, one).item() == 0
    assert losses.prototype_matching(given.features, one * 0, given.prototypes).item() == 0
    assert losses.prototype_matching(given.features, one * 6, given.prototypes).item() == 0
    assert losses.attraction(given.features, one * 6, given.prototypes).item() == 0
    assert losses.sparsity(-given.features.abs(), one).item() == 0


@pytest.mark.parametrize("seed", range(3))
def test_distillation_is_at_rest_where_student_and_previous_model_agree(seed: int) -> None:
    given = batch(seed=seed)
    same = given._replace(
        previous_logits=given.logits, previous_features=given.features, prototypes=given.prototypes
    )
    for term in (
        "output_distillation",
        "unbiased_distillation",
        "feature_distillation",
        "feature_distillation, masked",
        "similarity_distillation",
        "local_pod",
        "local_pod, not squared",
    ):
        assert all(grad.abs().max() < 1e-15 for grad in gradients(term, same)), term


def test_new_classes_pull_only_the_biased_distillation_off_its_rest() -> None:
    """A student that gives the new class some of the background, and all else as the previous model does."""
    given = batch()
    share = torch.full_like(given.previous_logits[:, :1], 0.3)
    background = given.previous_logits[:, :1]
    split = [background + (1 - share).log(), given.previous_logits[:, 1:], background + share.log()]
    student = given._replace(logits=torch.cat(split, 1))
    assert all(grad.abs().max() < 1e-15 for grad in gradients("unbiased_distillation", student))
    assert all(grad.abs().max() > 1e-5 for grad in gradients("output_distillation", student))


Pairs = Callable[[Toy], losses.Pair]
PAIRS: dict[str, tuple[Pairs, tuple[str, str]]] = {
    "plain": (
        lambda t: losses.cross_entropy_and_distillation(t.logits, t.target, t.previous_logits),
        ("cross_entropy", "output_distillation"),
    ),
    "unbiased": (
        lambda t: losses.unbiased_cross_entropy_and_distillation(t.logits, t.target, t.previous_logits),
        ("unbiased_cross_entropy", "unbiased_distillation"),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("size", ["ordinary", "one-class step", "150 classes"])
@pytest.mark.parametrize("weights", [(1.0, 10.0), (0.5, 0.0)])
def test_a_pair_has_the_gradient_of_its_terms_added_up(
    kind: str, size: str, weights: tuple[float, float]
) -> None:
    given = toy(SIZES[size], torch.float64, mixed)
    pair, terms = PAIRS[kind]
    found = []
    for values in (pair, lambda t: tuple(TERMS[name][0](t) for name in terms)):
        logits = leaf(given.logits)
        first, second = values(given._replace(logits=logits))
        (weights[0] * first + weights[1] * second).backward()
        found.append((first.item(), second.item(), logits.grad))
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-12)
    torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("far", [-300.0, 300.0])
def test_a_group_of_classes_that_is_out_of_the_running_keeps_its_gradient(far: float) -> None:
    """exp(-300) is 0 in single precision: old or new classes must not be lost beside the others."""
    z = torch.tensor([1.0, 3.0, 2.0, 2.0 + far, 1.0 + far]).view(1, 5, 1, 1)
    target = torch.tensor([[[0 if far > 0 else 4]]])
    grads = []
    for logits in (leaf(z), leaf(z.double())):
        value = losses.unbiased_cross_entropy(logits, target, 3)
        value.backward()
        grads.append(logits.grad)
        assert value.item() == pytest.approx(300, abs=3)
    torch.testing.assert_close(grads[0].double(), grads[1], rtol=1e-4, atol=1e-6)
    assert grads[0].abs().max() > 0.5


def test_classes_that_are_ruled_out_have_no_part_in_it() -> None:
    """Logits of -inf, as a method may give outputs it has switched off, and labels below 0, which are old."""
    z = torch.tensor([1.0, 3.0, -math.inf, -math.inf]).view(1, 4, 1, 1)
    for label in (0, -7):
        logits = leaf(z)
        value = losses.unbiased_cross_entropy(logits, torch.full((1, 1, 1), label), 2)
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1e-6


def test_prototype_terms_are_at_rest_on_the_prototypes() -> None:
    given = batch()
    small = losses.nearest_labels(given.target, (5, 6))
    inside = torch.where(small == 255, 0, small)
    there = leaf(given.prototypes[inside].permute(0, 3, 1, 2))
    for term in (losses.attraction, losses.prototype_matching):
        there.grad = None
        value = term(there, small, given.prototypes)
        value.backward()
        assert there.grad is not None
        assert value.item() < 1e-30
        assert there.grad.abs().max() < 1e-15


def test_unbiased_terms_are_the_plain_ones_without_old_or_new_classes() -> None:
    given = batch()
    plain = losses.cross_entropy(given.logits, given.target)
    for old_classes in (0, 1):
        assert losses.unbiased_cross_entropy(given.logits, given.target, old_classes).item() == plain.item()
    previous = given.logits.flip(0)
    biased = losses.output_distillation(given.logits, previous)
    assert losses.unbiased_distillation(given.logits, previous).item() == biased.item()


def test_unbiased_probabilities_of_background_and_new_classes_add_up_to_one() -> None:
    z = batch().logits[:1, :, :1, :1]
    values = [losses.unbiased_cross_entropy(z, torch.full((1, 1, 1), c), 4) for c in (0, 4, 5)]
    assert sum((-value).exp().item() for value in values) == pytest.approx(1)


def test_distillation_to_oneself_is_the_entropy() -> None:
    z = batch().logits
    entropy = losses.normalised_entropy(z).mean() * torch.tensor(z.shape[1]).log()
    assert losses.output_distillation(z, z).item() * z.shape[1] == pytest.approx(entropy.item())


def test_logits_may_be_shifted() -> None:
    given = batch()
    shifted = given._replace(logits=given.logits + 7, previous_logits=given.previous_logits - 3)
    for term, (ours, _) in TERMS.items():
        if not term.startswith("sigmoid"):
            assert ours(shifted).item() == pytest.approx(ours(given).item()), term


@pytest.mark.parametrize(
    ("term", "power"),
    [
        ("feature_distillation", 2),
        ("similarity_distillation", 0),
        ("local_pod", 2),
        ("local_pod, not squared", 1),
        ("prototype_matching", 2),
        ("attraction", 2),
        ("repulsion", -1),
        ("sparsity", 0),
    ],
)
def test_terms_scale_with_the_features_as_their_formula_does(term: str, power: int) -> None:
    given, ours = batch(), TERMS[term][0]
    scaled = given._replace(
        features=3 * given.features,
        previous_features=3 * given.previous_features,
        prototypes=3 * given.prototypes,
    )
    assert ours(scaled).item() == pytest.approx(3**power * ours(given).item())


def test_class_terms_do_not_depend_on_the_order_of_pixels_or_images_or_on_an_offset() -> None:
    given = batch()
    small = losses.nearest_labels(given.target, (5, 6))
    order = torch.randperm(5 * 6)
    moved = given._replace(
        features=given.features.flatten(2)[:, :, order].view_as(given.features).flip(0),
        target=small.flatten(1)[:, order].view_as(small).flip(0),
    )
    for term in ("prototype_matching", "attraction", "repulsion", "sparsity"):
        assert TERMS[term][0](moved).item() == pytest.approx(TERMS[term][0](given).item()), term
    offset = given._replace(features=given.features + 5, prototypes=given.prototypes + 5)
    for term in ("prototype_matching", "attraction", "repulsion"):
        assert TERMS[term][0](offset).item() == pytest.approx(TERMS[term][0](given).item()), term


def test_class_terms_do_not_depend_on_how_classes_are_numbered() -> None:
    given = toy(ORDINARY, torch.float64, TARGETS["all labels visible"])
    numbers = torch.tensor([0, 4, 1, 5, 2, 3])
    other = given._replace(target=numbers[given.target], prototypes=given.prototypes[numbers.argsort()])
    for term in ("prototype_matching", "attraction", "repulsion", "sparsity"):
        assert TERMS[term][0](other).item() == pytest.approx(TERMS[term][0](given).item()), term


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_may_be_of_any_integer_type_and_finer_than_features(dtype: torch.dtype) -> None:
    given = batch()
    coarse = losses.nearest_labels(given.target, (5, 6)).to(dtype)
    fine = coarse.repeat_interleave(3, 1).repeat_interleave(2, 2)
    for term in ("prototype_matching", "attraction", "repulsion", "repulsion, classes not told", "sparsity"):
        expected = TERMS[term][0](given).item()
        assert TERMS[term][0](given._replace(target=fine)).item() == pytest.approx(expected), term


@pytest.mark.parametrize("ours", [losses.cross_entropy, losses.pseudo_labels])
def test_targets_may_be_bytes(ours: Callable[..., Any]) -> None:
    given = batch()
    as_bytes = given.target.to(torch.uint8)
    first, second = ours(given.logits, given.target), ours(given.logits, as_bytes)
    pairs = zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]
    assert all(torch.equal(a, b) for a, b in pairs)


def test_medians_keep_half_of_each_classs_background_pixels() -> None:
    g = torch.Generator().manual_seed(0)
    previous = 4 * torch.randn(4, 3, 40, 40, generator=g)
    target = torch.where(torch.rand(4, 40, 40, generator=g) < 0.2, 5, 0)
    halves = [losses.entropy_histogram(previous[i : i + 2], target[i : i + 2]) for i in (0, 2)]
    thresholds = losses.entropy_medians(halves[0] + halves[1])
    guess, background = previous.argmax(1), target == 0
    kept = losses.pseudo_labels(previous, target, thresholds)
    for c in range(3):
        values = losses.normalised_entropy(previous)[background & (guess == c)]
        assert thresholds[c].item() == pytest.approx(values.median().item(), rel=1e-2)
        assert (kept.target == c).sum().item() == pytest.approx(len(values) / 2, abs=2)
    assert kept.share.mean().item() == pytest.approx(0.5, abs=0.01)
