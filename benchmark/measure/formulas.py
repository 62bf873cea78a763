"""Multiply-adds of the operators that contract over an index, for both counters.

Counted are convolutions, matrix products and attention: what published GMAC tables count. Element-wise
operators, reductions, normalisation, pooling and interpolation are zero by definition, and moving data
is none. fvcore's handlers for these (5 FLOPs an element of a LayerNorm, 4 of an interpolation) are
left out for that reason, so that both counters mean the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from fvcore.nn.jit_handles import addmm_flop_jit, bmm_flop_jit, conv_flop_jit, get_shape, linear_flop_jit
from torch import Tensor
from torch.utils.flop_counter import flop_registry

Shape = Sequence[int]
_ELLIPSIS = "ZYXWVUTS"
# Operators that only make, copy, pick or rearrange elements, without leading and trailing underscores.
_MOVING = """
alias arange as_strided cat chunk clone constant_pad_nd contiguous copy detach dropout empty empty_like
empty_strided expand eye fill flatten flip foreach_copy foreach_zero full full_like gather index index_put
index_select lift lift_fresh lift_fresh_copy local_scalar_dense masked_fill new_empty new_empty_strided
new_full new_ones new_zeros one_hot ones ones_like pad permute reflection_pad2d repeat replication_pad2d
reshape reshape_alias resize roll scalar_tensor scatter select select_backward set slice slice_backward split
split_with_sizes split_with_sizes_copy squeeze stack to to_copy transpose tril triu type_as unflatten
unsafe_index unsafe_view unsqueeze view where zero zeros zeros_like
"""
_MOVES = frozenset(_MOVING.split())


def moves_data(operator: str) -> bool:
    """Tell whether ``operator`` (``aten::cat``) only makes, copies or picks elements."""
    return operator.removeprefix("aten::").strip("_") in _MOVES


def attention_macs(query: Shape, key: Shape, value: Shape) -> int:
    """Return the multiply-adds of softmax(Q K^T) V: (..., L, E), (..., S, E), (..., S, V).

    Masks are not subtracted: a causal one counts as a full one, as both counters have it.
    """
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def matmul_macs(left: Shape, out: Shape) -> int:
    """Return the multiply-adds of a matrix product that broadcasts: one per output and inner index."""
    return prod(out) * left[-1]


def einsum_macs(equation: str, shapes: Sequence[Shape]) -> int:
    """Return the multiply-adds of an einsum; more than two operands are contracted from left to right."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = [_spell(term, len(shape)) for term, shape in zip(inputs.split(","), shapes, strict=True)]
    size: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, length in zip(term, shape, strict=True):
            size[letter] = max(length, size.get(letter, 1))
    macs, held = 0, set(terms[0])
    for i, term in enumerate(terms[1:], start=2):
        held |= set(term)
        macs += prod(size[letter] for letter in held)
        if i < len(terms):
            held &= set("".join(terms[i:])) | set(output.replace("...", _ELLIPSIS))
    return macs


def _spell(term: str, dims: int) -> str:
    if "..." not in term:
        return term
    spare = dims - (len(term) - 3)
    return term.replace("...", _ELLIPSIS[len(_ELLIPSIS) - spare :])


# --- fvcore: handlers get the inputs and outputs of a node of a traced graph


def _shapes(values: Sequence[Any]) -> list[Any]:
    return [get_shape(value) for value in values]


def _einsum(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return einsum_macs(inputs[0].toIValue(), _shapes(list(inputs[1].node().inputs())))


def _convolution_by_mode(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    weight, out = get_shape(inputs[1]), get_shape(outputs[0])
    return out[0] * prod(weight) * prod(out[2:])


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return attention_macs(*_shapes(inputs[:3]))


def _matmul(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return matmul_macs(get_shape(inputs[0]), get_shape(outputs[0]))


def _added_bmm(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return matmul_macs(get_shape(inputs[1]), get_shape(outputs[0]))


def _vector_dot(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Of two vectors their length; of several at once torch multiplies and sums, which counts as zero."""
    left = get_shape(inputs[0])
    return left[0] if len(left) == 1 else 0


FVCORE_HANDLES: dict[str, Callable[..., Any]] = {
    "aten::_convolution": conv_flop_jit,
    "aten::_convolution_mode": _convolution_by_mode,  # padding="same", which fvcore does not know
    "aten::linear": linear_flop_jit,
    "aten::addmm": addmm_flop_jit,
    "aten::bmm": bmm_flop_jit,
    "aten::baddbmm": _added_bmm,
    "aten::mm": _matmul,
    "aten::matmul": _matmul,  # fvcore's is wrong where the left operand broadcasts
    "aten::mv": _matmul,
    "aten::dot": _matmul,
    "aten::vdot": _matmul,
    "aten::linalg_vecdot": _vector_dot,
    "aten::einsum": _einsum,  # fvcore's reads rounded text and allocates the operands
    "aten::scaled_dot_product_attention": _attention,
}


# --- torch: formulas get the operator's own arguments and give FLOPs, two a multiply-add


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return 2 * attention_macs(query.shape, key.shape, value.shape)


def _attention_backward_flops(
    _grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> int:
    """Q K^T once more, and two products for each of the two of the forward pass."""
    scores = prod(query.shape[:-1]) * key.shape[-2]
    return 2 * scores * (3 * query.shape[-1] + 2 * value.shape[-1])


def _convolution_backward_flops(
    grad: Tensor,
    image: Tensor,
    weight: Tensor,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Each gradient asked for, of the input and of the weight, costs what the forward pass did.

    torch's own formula charges the weight's gradient of a grouped convolution ``groups`` times.
    """
    places = image if transposed else grad
    return 2 * (output_mask[0] + output_mask[1]) * grad.shape[0] * weight.numel() * prod(places.shape[2:])


def _vector_flops(left: Tensor, _right: Tensor, **_: Any) -> int:
    return 2 * left.numel()


_aten = torch.ops.aten
TORCH_FORMULAS: dict[Any, Callable[..., Any]] = {
    **flop_registry,
    # Not in every version of torch: fused attention on a CPU.
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    _aten._scaled_dot_product_fused_attention_overrideable: _attention_flops,
    _aten._scaled_dot_product_fused_attention_overrideable_backward: _attention_backward_flops,
    _aten.convolution_backward: _convolution_backward_flops,
    _aten.mv: _vector_flops,
    _aten.dot: _vector_flops,
    _aten.vdot: _vector_flops,
}
