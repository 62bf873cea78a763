"""Parameters counted by hand: convolution, linear layer, attention, LoRA, a classifier that grows."""

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from benchmark.measure.params import count_parameters, tensor_bytes
from benchmark.model import Classifier


class Attention(nn.Module):
    """Query, key, value and output projections of one width."""

    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))


def test_convolutions_and_linear_layers_by_hand():
    assert count_parameters(nn.Conv2d(6, 8, 3)).total == 6 * 8 * 9 + 8
    assert count_parameters(nn.Conv2d(6, 8, 3, stride=2, dilation=2, groups=2, bias=False)).total == 3 * 8 * 9
    assert count_parameters(nn.Linear(5, 7)) == (42, 42)


def test_buffers_are_no_parameters():
    assert count_parameters(nn.BatchNorm2d(8)) == (16, 16)


def test_a_shared_parameter_counts_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    assert count_parameters(nn.Sequential(first, second, first)).total == 32
    second.weight = first.weight
    assert count_parameters(nn.Sequential(first, second)) == (16, 16)


def test_frozen_parameters_are_not_trainable():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    assert count_parameters(model) == (30, 10)


def test_the_groups_given_decide_what_is_trainable_and_a_tensor_in_two_groups_counts_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert count_parameters(model, [model[1].bias, model[1].weight, model[1].bias]) == (30, 10)
    assert count_parameters(model, []) == (30, 0)


def test_a_trained_parameter_outside_of_the_model_is_trainable_only():
    assert count_parameters(nn.Linear(2, 2), [nn.Parameter(torch.zeros(5))]) == (6, 5)


def test_lora_on_query_and_value_by_hand():
    width, rank = 12, 3
    model = Attention(width)
    plain = 4 * (width * width + width)
    assert count_parameters(model) == (plain, plain)
    inject_adapter_in_model(LoraConfig(r=rank, target_modules=["q", "v"]), model)
    added = 2 * (rank * width + width * rank)
    assert count_parameters(model) == (plain + added, added)


def test_a_classifier_that_grows_by_hand():
    classifier = Classifier(16, 5)
    for classes in (1, 3):
        classifier.grow(classes)
    assert count_parameters(classifier).total == (16 + 1) * (5 + 1 + 3)


def test_bytes_of_stored_tensors():
    half = torch.zeros(10, dtype=torch.float16)
    state = {"a": torch.zeros(3, 4), "b": [half, {"again": half}], "c": torch.tensor(True), "step": 7}
    assert tensor_bytes(state) == 3 * 4 * 4 + 20 + 1
    assert tensor_bytes(torch.zeros(100)[:5]) == 20
    assert tensor_bytes({}) == 0
