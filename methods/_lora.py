"""LoRA inside an encoder: split the fused qkv, inject with peft, merge again."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, cast

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Conv2d as LoraConv2d
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from benchmark.model import Encoder

_ADAPTER = "default"


class SplitQKV(nn.Module):
    """timm's fused projection as three linear layers, so that LoRA reaches query and value alone."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        self.q, self.k, self.v = (_third(fused, i) for i in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., 3 D'): query, key and value side by side, as the fused layer does."""
        return torch.cat((self.q(tokens), self.k(tokens), self.v(tokens)), dim=-1)

    def fuse(self) -> nn.Linear:
        """Return the one linear layer this computes; LoRA must be merged."""
        parts = (self.q, self.k, self.v)
        weight = torch.cat([part.weight.detach() for part in parts])
        biases = [part.bias.detach() for part in parts if part.bias is not None]
        fused = _linear(weight, torch.cat(biases) if biases else None)
        return fused.requires_grad_(parts[0].weight.requires_grad).train(self.training)


def _third(fused: nn.Linear, index: int) -> nn.Linear:
    rows = slice(index * fused.out_features // 3, (index + 1) * fused.out_features // 3)
    bias = fused.bias.detach()[rows].clone() if fused.bias is not None else None
    return _linear(fused.weight.detach()[rows].clone(), bias).train(fused.training)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Wrap tensors in a layer without drawing random numbers for an initialisation."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def lora_layers(encoder: nn.Module) -> list[LoraLinear | LoraConv2d]:
    """Return peft's layers in ``encoder``, in the order of its modules."""
    return [module for module in encoder.modules() if isinstance(module, LoraLinear | LoraConv2d)]


def inject(encoder: Encoder, rank: int) -> None:
    """Put LoRA on query and value, or on convolutions where nothing attends; freeze all else.

    A is Gaussian with standard deviation 1 / rank, B zero; the update is B A (alpha = rank). Raises
    ValueError for an encoder that attends without a fused ``qkv``.
    """
    targets = _convolutions(encoder) if encoder.is_convolutional else _split_attention(encoder)
    if not targets:
        raise ValueError("LoRA needs an encoder with fused qkv projections, or one of convolutions")
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, init_lora_weights="gaussian")
    inject_adapter_in_model(config, encoder, _ADAPTER)
    for layer in lora_layers(encoder):
        layer.cast_input_dtype_enabled = False  # autocast casts; a copy in float32 before it is waste
        if isinstance(layer, LoraConv2d):  # peft leaves dilation at 1: wrong behind an output stride
            layer.lora_A[_ADAPTER].dilation = layer.get_base_layer().dilation


def train_lora_only(encoder: nn.Module) -> None:
    """Freeze the encoder but for its LoRA weights."""
    encoder.requires_grad_(False)
    for layer in lora_layers(encoder):
        layer.lora_A.requires_grad_(True)
        layer.lora_B.requires_grad_(True)


def restart(encoder: nn.Module) -> None:
    """Merge LoRA into the weights it stands beside and start it anew, Gaussian and zero."""
    for layer in lora_layers(encoder):
        _merge(layer)
        layer.reset_lora_parameters(_ADAPTER, "gaussian")


def merge_and_fuse(encoder: nn.Module) -> None:
    """Turn the encoder into what it was before :func:`inject`, with LoRA in its weights."""
    for layer in lora_layers(encoder):
        _merge(layer)
    _replace(encoder, LoraLinear | LoraConv2d, lambda layer: layer.get_base_layer())
    _replace(encoder, SplitQKV, lambda split: split.fuse())
    vars(encoder).pop("peft_config", None)


@torch.no_grad()
def _merge(layer: LoraLinear | LoraConv2d) -> None:
    cast(nn.Linear | nn.Conv2d, layer.get_base_layer()).weight += layer.get_delta_weight(_ADAPTER)


def _split_attention(encoder: nn.Module) -> list[str]:
    """Split every fused ``qkv`` of ``encoder`` and return the names of the query and value layers."""
    modules = dict(encoder.named_modules())
    fused = [name for name, module in modules.items() if isinstance(getattr(module, "qkv", None), nn.Linear)]
    for name in fused:
        modules[name].qkv = SplitQKV(cast(nn.Linear, modules[name].qkv))
    return [f"{name}.qkv.{part}" for name in fused for part in "qv"]


def _convolutions(encoder: nn.Module) -> list[str]:
    """Return the names of the convolutions peft can merge LoRA into: those that are not grouped."""
    return [name for name, m in encoder.named_modules() if isinstance(m, nn.Conv2d) and m.groups == 1]


def _replace(root: nn.Module, kind: type | UnionType, build: Callable[[Any], nn.Module]) -> None:
    """Put ``build(module)`` in the place of every module of one kind."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, build(child))
