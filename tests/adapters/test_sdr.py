import pytest
import torch
from toys import a_batch, cnn, first_step, grown, labels, later_step, method, pixels, terms_of

from benchmark.errors import MethodError
from benchmark.losses import nearest_labels
from benchmark.method import Batch, Output, State, StepView

OWN = {"matching", "attraction", "repulsion", "sparsity"}
SETTINGS = ["sequential", "disjoint", "overlapped"]


def loss(
    spec: str, features: torch.Tensor, guess: list[int], target: list[int], step: StepView, state: State
):
    """SDR on four pixels of given features; the previous model guesses ``guess``."""
    logits = torch.zeros(1, 4, 1, len(target), requires_grad=True)
    before = torch.nn.functional.one_hot(torch.tensor(guess), 3).t()[None, :, None].float()
    batch = Batch(torch.zeros(1, 3, 1, len(target)), labels(*target))
    output, teacher = Output(logits, features), Output(before, features.detach())
    return method(spec).loss(cnn(), output, teacher, batch, step, state)


def prototypes(*rows: list[float], counts: list[int]) -> State:
    return {"sdr.prototypes": torch.tensor(rows), "sdr.counts": torch.tensor(counts)}


def test_terms_by_hand() -> None:
    features = pixels([1.0, 3.0], [2.0, 0.0], [5.0, 5.0], [7.0, 5.0])
    state = prototypes([0.0, 0.0], [1.0, 1.0], [9.0, 9.0], counts=[0, 4, 4])
    weights = "matching=1,attraction=2,repulsion=3,sparsity=4"
    terms = loss(f"sdr:{weights}", features, [1, 0, 2, 1], [0, 0, 3, 3], later_step(), state)
    # Background pixel 0 is the previous model's class 1; pixel 1 its background; 2 and 3 are new, class 3.
    assert terms["matching"].item() == pytest.approx(((1 - 1) ** 2 + (3 - 1) ** 2) / 2)
    # The new prototype is (6, 5), the mean of pixels 2 and 3; background has none.
    assert terms["attraction"].item() == pytest.approx(2 * (1 + 0 + 1 + 0) / 4)
    # Centroids (1.5, 1.5) and (6, 5).
    assert terms["repulsion"].item() == pytest.approx(3 / (4.5**2 + 3.5**2) ** 0.5)
    values = torch.tensor([[1 / 3, 1], [2 / 3, 0], [5 / 7, 5 / 7], [1, 5 / 7]])
    assert terms["sparsity"].item() == pytest.approx(4 * (values.exp().sum(1) / values.sum(1)).mean().item())
    torch.testing.assert_close(state["sdr.prototypes"][3], torch.tensor([6.0, 5.0]))
    assert state["sdr.counts"].tolist() == [0, 4, 4, 2]


def test_sparsity_sees_features_after_relu() -> None:
    negative = pixels([1.0, -3.0], [2.0, -1.0])
    clipped = pixels([1.0, 0.0], [2.0, 0.0])
    values = [
        loss("sdr:on=fine_tune", f, [0, 0], [0, 3], later_step(), {})["sparsity"] for f in (negative, clipped)
    ]
    assert values[0].item() == pytest.approx(values[1].item())


def test_in_the_sequential_setting_labels_say_where_old_classes_are() -> None:
    features = pixels([1.0, 3.0], [2.0, 0.0], [5.0, 5.0])
    state = prototypes([0.0, 0.0], [2.0, 0.0], [9.0, 9.0], counts=[10, 10, 10])
    step = later_step(setting="sequential")
    terms = loss("sdr:matching=1,attraction=0", features, [2, 2, 2], [0, 1, 3], step, state)
    # The label says class 1 at pixel 1, whose prototype is (2, 0) before and after; the guess 2 is not used.
    assert terms["matching"].item() == pytest.approx(0)
    torch.testing.assert_close(state["sdr.prototypes"][0], torch.tensor([1.0, 3.0]) / 11)
    assert state["sdr.counts"].tolist() == [11, 11, 10, 1]


def test_a_class_without_a_prototype_is_not_matched() -> None:
    features = pixels([1.0, 3.0], [2.0, 0.0])
    state = prototypes([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], counts=[0, 0, 1])
    terms = loss("sdr:matching=1", features, [1, 2], [0, 0], later_step(), state)
    assert terms["matching"].item() == pytest.approx(((2 - 1) ** 2 + (0 - 1) ** 2) / 2)


def test_batches_without_a_qualifying_pixel_give_zeros_with_a_graph() -> None:
    for target in ([0, 0], [255, 255]):
        features = pixels([1.0, 3.0], [2.0, 0.0])
        terms = loss("sdr:on=fine_tune", features, [0, 0], target, later_step(), {})
        for name in ("matching", "attraction", "repulsion"):
            assert terms[name].item() == 0
        total = sum(terms.values())
        assert torch.isfinite(total)
        total.backward()
        assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("setting", SETTINGS)
def test_prototypes_are_means_over_all_pixels_so_far(setting: str) -> None:
    found, model = method("sdr"), cnn()
    state: State = {}
    base, later = first_step(setting=setting), later_step(setting=setting)
    seen: dict[int, list[torch.Tensor]] = {}

    def remember(batch: Batch, features: torch.Tensor) -> None:
        small = nearest_labels(batch.target, (4, 4))
        for image, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(4)):
            name = int(small[image, row, column])
            if name != 255 and (name or setting == "sequential"):
                seen.setdefault(name, []).append(features[image, :, row, column])

    first = [a_batch((0, 1, 2), seed=seed) for seed in range(3)]
    with torch.no_grad():
        model.eval()
        found.consolidate(model, first, base, state)
        for batch in first:
            remember(batch, model(batch.image).features)
    model, previous = grown(model, found)
    visible = (0, 1, 2, 3) if setting == "sequential" else (0, 3)
    for seed in range(3, 6):
        batch = a_batch(visible, seed=seed)
        model.eval()
        terms_of(found, model, previous, batch, later, state)
        remember(batch, model(batch.image).features.detach())
    found.consolidate(model, [a_batch(visible, seed=9)], later, state)
    assert state["sdr.counts"].tolist() == [len(seen.get(name, [])) for name in range(4)]
    for name, vectors in seen.items():
        torch.testing.assert_close(state["sdr.prototypes"][name], torch.stack(vectors).mean(0))
    assert not any(value.requires_grad for value in state.values())
    assert set(state) == {"sdr.prototypes", "sdr.counts"}


def test_counts_do_not_saturate() -> None:
    state = prototypes([0.0, 0.0], [1.0, 1.0], [1.0, 1.0], counts=[0, 2**25, 0])
    step = later_step(setting="sequential")
    loss("sdr", pixels([1.0, 1.0], [1.0, 1.0]), [0, 0], [1, 3], step, state)
    assert state["sdr.counts"].tolist() == [0, 2**25 + 1, 0, 1]


@pytest.mark.parametrize("off", sorted(OWN))
def test_a_term_of_weight_0_is_not_there(off: str) -> None:
    found = method(f"sdr:on=fine_tune,{off}=0")
    model, previous = grown(cnn(), found)
    terms = terms_of(found, model, previous, a_batch(), later_step())
    assert set(terms) == {"cross_entropy"} | OWN - {off}
    assert found.needs == (set() if off == "matching" else {"previous"})


def test_without_prototype_terms_nothing_is_stored() -> None:
    found, state = method("sdr:matching=0,attraction=0"), {}
    found.consolidate(cnn().eval(), [a_batch((0, 1, 2))], first_step(), state)
    model, previous = grown(cnn(), found)
    terms_of(found, model, previous, a_batch(), later_step(), state)
    assert not state


@pytest.mark.parametrize("on", ["mib", "plop", "fine_tune"])
def test_terms_are_those_of_the_method_below_and_four_more(on: str) -> None:
    found, below = method(f"sdr:on={on}"), method("mib:distillation=100" if on == "mib" else on)
    model, previous = grown(cnn(), found)
    model.eval()
    batch, step, state = a_batch(), later_step(), {"plop.thresholds": torch.full((3,), 0.9)}
    terms = terms_of(found, model, previous, batch, step, state)
    expected = terms_of(below, model, previous, batch, step, state)
    assert set(terms) == set(expected) | OWN
    for name, value in expected.items():
        assert torch.equal(terms[name], value)


def test_gradients_of_its_terms_reach_the_encoder_alone() -> None:
    found = method("sdr")
    model, previous = grown(cnn(), found)
    terms = terms_of(found, model, previous, a_batch(), later_step())
    sum(terms[name] for name in OWN).backward()
    assert all(p.grad is None for p in model.classifier.parameters())
    assert any(p.grad is not None for p in model.encoder.parameters())


@pytest.mark.parametrize("spec", ["sdr:on=sdr", "sdr:on=plop,distillation=10", "sdr:matching=-1"])
def test_nonsense_is_refused(spec: str) -> None:
    with pytest.raises(MethodError):
        method(spec)
