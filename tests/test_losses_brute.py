"""Loss terms against the second implementation in ``brute_losses``, on ordinary and on degenerate batches."""

from __future__ import annotations

import pytest
import torch
from loss_cases import SIZES, TARGETS, TERMS, leaf, mixed, toy


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("size", SIZES)
def test_terms_agree_with_the_second_implementation(term: str, size: str) -> None:
    ours, brutes = TERMS[term]
    batch = toy(SIZES[size], torch.float32, mixed)
    assert ours(batch).item() == pytest.approx(brutes(batch), rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("target", TARGETS)
def test_terms_are_right_with_a_gradient_on_degenerate_batches(term: str, target: str) -> None:
    ours, brutes = TERMS[term]
    batch = toy(SIZES["ordinary"], torch.float32, TARGETS[target])
    value = ours(batch._replace(logits=leaf(batch.logits), features=leaf(batch.features)))
    assert value.item() == pytest.approx(brutes(batch), rel=2e-5, abs=1e-6)
    assert value.requires_grad
    assert value.shape == ()


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_terms_are_right_in_every_precision(term: str, target: str, dtype: torch.dtype) -> None:
    """The second implementation gets the rounded inputs, so what is left is how sums are taken."""
    ours, brutes = TERMS[term]
    batch = toy(SIZES["ordinary"], dtype, TARGETS[target])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float64):
        logits, features = leaf(batch.logits), leaf(batch.features)
        value = ours(batch._replace(logits=logits, features=features))
    tolerance = 1e-12 if dtype == torch.float64 and "pseudo" not in term else 2e-5
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.item() == pytest.approx(brutes(batch), rel=tolerance, abs=1e-6)
    value.backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in (logits, features))
