import pytest
from toys import MODELS, a_batch, first_step, grown, later_step, method, terms_of, with_gradient


@pytest.mark.parametrize("name", MODELS)
def test_the_encoder_learns_in_step_0_alone(name: str) -> None:
    found, model = method("frozen"), MODELS[name]()
    groups = found.adapt(model, first_step())
    assert {id(p) for group in groups for p in group.params} == {id(p) for p in model.parameters()}
    model, previous = grown(model, found)
    sum(terms_of(found, model, previous, a_batch((0, 3)), later_step()).values()).backward()
    assert {key.split(".")[0] for key in with_gradient(model)} == {"decoder", "classifier"}
    head = {id(p) for part in (model.decoder, model.classifier) for p in part.parameters()}
    assert {id(p) for group in found.adapt(model, later_step()) for p in group.params} == head


def test_losses_are_those_of_the_method_below() -> None:
    found = method("frozen:on=plop")
    assert found.needs == method("plop").needs
    assert not found.own_base
