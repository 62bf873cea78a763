"""The network every method works on: an encoder, a decoder, and a classifier that grows step by step."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.decoder import ASPP, Decoded, PooledBatchNorm, SingleConvolution, build_decoder
from benchmark.encoder import Encoded, Encoder, build_encoder
from benchmark.method import Need, Output
from benchmark.preset import ModelPreset

__all__ = [
    "ASPP",
    "Classifier",
    "Decoded",
    "Encoded",
    "Encoder",
    "PooledBatchNorm",
    "SegModel",
    "SingleConvolution",
    "build_model",
    "initialise_from_background",
]

_NOTHING: frozenset[Need] = frozenset()


class Classifier(nn.Module):
    """1 x 1 convolutions side by side: one block of outputs for each step, in learning order.

    ``blocks[0]`` holds background and the classes of step 0; growing never touches earlier blocks.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.channels = channels
        self.blocks = nn.ModuleList([nn.Conv2d(channels, outputs, 1)])

    @property
    def outputs(self) -> int:
        """Number of outputs, background included."""
        return sum(cast(nn.Conv2d, block).out_channels for block in self.blocks)

    def grow(self, classes: int) -> None:
        """Add a block of ``classes`` outputs, initialised from torch's global CPU stream."""
        # Drawn on the CPU, so that the same seed starts a class alike on every device.
        block = nn.Conv2d(self.channels, classes, 1, device="cpu")
        self.blocks.append(block.to(next(self.parameters())).train(self.training))

    def forward(self, features: Tensor) -> Tensor:
        """Return scores (B, outputs, h, w) of (B, channels, h, w)."""
        # One convolution over all blocks reads the features once, however many steps there were.
        weight = torch.cat([cast(Tensor, block.weight) for block in self.blocks])
        bias = torch.cat([cast(Tensor, block.bias) for block in self.blocks])
        return F.conv2d(features, weight, bias)


class SegModel(nn.Module):
    """Encoder, decoder, classifier. The parts are there for methods to freeze and to change.

    ``encoder.stage_parameters()`` gives the encoder's parameters by depth; ``classifier.blocks[-1]`` is
    the newest classes. Batch normalisation whose weight and bias are frozen stays in eval mode when the
    model is put into training mode: freeze first, then call ``train()``.
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module, classifier: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.classifier = classifier

    @property
    def outputs(self) -> int:
        """Number of the model's outputs, background included."""
        return self.classifier.outputs

    @property
    def is_convolutional(self) -> bool:
        """True where the encoder has no attention."""
        return self.encoder.is_convolutional

    def grow(self, classes: int) -> None:
        """Add the outputs of a step's ``classes`` new classes."""
        self.classifier.grow(classes)

    def forward(self, image: Tensor, needs: frozenset[Need] = _NOTHING) -> Output:
        """Run images (B, 3, H, W) of any size.

        Sides that are no multiple of the encoder's stride are padded at the bottom and right with zeros
        (after normalisation: the mean colour), and the logits cropped back. Logits are float32 under
        mixed precision, enlarged bilinearly (corners not aligned) by the stride.
        """
        height, width = image.shape[2:]
        stride = self.encoder.stride
        image = _pad(image, stride)
        if self.is_convolutional:  # a fifth faster on CPUs, more on GPUs at low precision
            image = image.contiguous(memory_format=torch.channels_last)
        encoded: Encoded = self.encoder(image, stages="stages" in needs)
        decoded: Decoded = self.decoder(encoded.features)
        scores = self.classifier(decoded.fused)
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()  # near ties between classes must not be rounded away
        logits = _enlarge(scores, stride)
        branches = decoded.branches if "branches" in needs else ()
        return Output(logits[..., :height, :width], encoded.features, encoded.stages, branches)

    def train(self, mode: bool = True) -> SegModel:
        """Set training mode, but leave batch normalisation in eval mode where it is frozen."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and _is_frozen(module):
                module.eval()
        return self


def build_model(preset: ModelPreset, outputs: int, *, load_weights: bool = True) -> SegModel:
    """Build the preset's network with ``outputs`` outputs, background included.

    Random weights come from torch's global stream. ``load_weights`` False leaves the encoder random
    whatever the preset says: for counting, on the meta device too, and where a checkpoint follows.

    Raises ProtocolError for an encoder that does not exist or cannot be what the preset asks,
    DataError for pretrained weights that are absent or do not fit.
    """
    encoder = build_encoder(preset, load_weights)
    decoder = build_decoder(preset, encoder.channels, encoder.stride)
    return SegModel(encoder, decoder, Classifier(preset.decoder_channels, outputs))


@torch.no_grad()
def initialise_from_background(model: SegModel) -> None:
    """Start the newest block of classes from the background, as MiB does (arXiv 2002.00718).

    Its weights become the background's; its biases and the background's become b - log(C_new + 1), b the
    background's bias: what the old model gave to background is shared evenly by it and the C_new classes.
    Raises ValueError for a classifier that has not grown.
    """
    if len(model.classifier.blocks) == 1:
        raise ValueError("the classifier has not grown: it has no new classes to initialise")
    first, newest = (cast(nn.Conv2d, model.classifier.blocks[index]) for index in (0, -1))
    assert first.bias is not None and newest.bias is not None
    newest.weight.copy_(first.weight[:1].expand_as(newest.weight))
    shared = first.bias[0] - math.log(newest.out_channels + 1)
    newest.bias.fill_(shared)
    first.bias[0] = shared


def _enlarge(scores: Tensor, factor: int) -> Tensor:
    """Return scores (B, C, h, w) enlarged bilinearly, corners not aligned.

    On a CPU this is two to three times as fast, forward and backward, with the channels last, and what is
    done with the result with the channels first.
    """
    if scores.device.type != "cpu":
        return F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    scores = scores.contiguous(memory_format=torch.channels_last)
    logits = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    if logits.requires_grad:
        logits.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return logits.contiguous()


def _pad(image: Tensor, multiple: int) -> Tensor:
    bottom, right = (-size % multiple for size in image.shape[2:])
    return F.pad(image, (0, right, 0, bottom)) if bottom or right else image


def _is_frozen(norm: nn.Module) -> bool:
    parameters = list(norm.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
