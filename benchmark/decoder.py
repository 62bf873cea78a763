"""Decoders: what stands between the encoder's features and the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.preset import ModelPreset


class Decoded(NamedTuple):
    """``fused`` (B, decoder_channels, h, w) and the parallel branches, each (B, D_j, h, w)."""

    fused: Tensor
    branches: tuple[Tensor, ...]


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that can follow global pooling.

    Where it sees a single value for each channel (one image, pooled) a batch has no variance: it then
    normalises by its running statistics, in training too, and leaves them as they are. With more than
    one value it is ``BatchNorm2d``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, D, h, w)."""
        if input.numel() > input.shape[1]:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabV3 (Chen et al. 2017, arXiv 1706.05587, section 3.3).

    Parallel branches: a 1 x 1 convolution, one 3 x 3 convolution for each atrous rate, and global
    average pooling with a 1 x 1 convolution; then all are concatenated and projected. Every convolution
    is followed by batch normalisation and ReLU. Rates are given for output stride 16; at 8 they double.
    """

    def __init__(self, channels: int, out_channels: int, rates: Sequence[int], stride: int) -> None:
        super().__init__()
        factor = 2 if stride == 8 else 1
        self.branches = nn.ModuleList([_unit(channels, out_channels, 1)])
        self.branches.extend(_unit(channels, out_channels, 3, rate * factor) for rate in rates)
        self.pooled = _unit(channels, out_channels, 1, norm=PooledBatchNorm)
        self.project = _unit(out_channels * (len(self.branches) + 1), out_channels, 1)

    def forward(self, features: Tensor) -> Decoded:
        """Decode features (B, D, h, w)."""
        pooled = self.pooled(features.mean((2, 3), keepdim=True))
        branches = (
            *(branch(features) for branch in self.branches),
            pooled.expand(-1, -1, *features.shape[2:]),
        )
        return Decoded(self.project(torch.cat(branches, dim=1)), branches)


class SingleConvolution(nn.Module):
    """One 1 x 1 convolution: the head of the CLoRA paper's transformer. Its output is its one branch."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, out_channels, 1)

    def forward(self, features: Tensor) -> Decoded:
        """Decode features (B, D, h, w)."""
        fused = self.project(features)
        return Decoded(fused, (fused,))


def build_decoder(preset: ModelPreset, channels: int, stride: int) -> nn.Module:
    """Build the preset's decoder for features of ``channels`` channels at an output stride of ``stride``."""
    if preset.decoder == "aspp":
        return ASPP(channels, preset.decoder_channels, preset.aspp_rates, stride)
    return SingleConvolution(channels, preset.decoder_channels)


def _unit(
    channels: int, out_channels: int, size: int, rate: int = 1, norm: type[nn.Module] = nn.BatchNorm2d
) -> nn.Sequential:
    padding = rate * (size // 2)
    convolution = nn.Conv2d(channels, out_channels, size, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(convolution, norm(out_channels), nn.ReLU(inplace=True))
