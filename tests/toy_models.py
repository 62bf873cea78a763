"""The smallest networks of each kind: a CNN with ASPP, a ViT and SAM's ViT with one convolution."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.model import SegModel, build_model
from benchmark.preset import ModelPreset

CNN = ModelPreset(
    name="toy-cnn",
    description="",
    encoder="resnet10t",
    encoder_args={"channels": [8, 16, 24, 32], "stem_width": 8},
    pretrained="random",
    decoder="aspp",
    decoder_channels=12,
    aspp_rates=(1, 2),
    output_stride=8,
    image_size=32,
    batch_size=2,
    learning_rate=0.1,
    learning_rate_later=0.1,
)
VIT = replace(
    CNN,
    name="toy-vit",
    encoder="vit_tiny_patch16_224",
    encoder_args={"depth": 5, "embed_dim": 24, "num_heads": 2, "patch_size": 8},
    decoder="conv",
    output_stride=None,
)
SAM = replace(
    VIT,
    name="toy-sam",
    encoder="samvit_base_patch16",
    encoder_args={
        "depth": 4,
        "embed_dim": 24,
        "num_heads": 2,
        "patch_size": 8,
        "neck_chans": 20,
        "window_size": 3,
        "global_attn_indexes": [1, 3],
    },
)


def built(preset: ModelPreset, outputs: int = 4, seed: int = 0) -> SegModel:
    torch.manual_seed(seed)
    model = build_model(preset, outputs)
    # Zero-initialised embeddings and norms would hide what is wired wrongly.
    for parameter in model.parameters():
        if parameter.ndim == 1 or parameter.abs().max() == 0:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def images(height: int = 32, width: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))
