"""Encoders: any timm model that hands out its intermediate feature maps, as one kind of module.

Two shapes of network are told apart by timm's own record of their stages: *pyramids*, whose maps shrink
from stage to stage (CNNs, hierarchical transformers), and *plain* transformers, whose blocks all have
the same grid.
"""

from __future__ import annotations

import difflib
import inspect
from itertools import pairwise
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from benchmark.errors import ProtocolError
from benchmark.preset import ModelPreset

STAGES = 4
"""Stages an encoder is cut into: a pyramid's last four maps, four equal runs of a transformer's blocks."""

_NORMALISES_FEATURES = ("norm", "neck")
# What timm's attention modules call their projections.
_PROJECTIONS = ("qkv", "q_proj", "q", "to_q")


class Encoded(NamedTuple):
    """``features`` (B, D, h, w) and, if asked for, the output of each stage, (B, D_i, h_i, w_i)."""

    features: Tensor
    stages: tuple[Tensor, ...]


class Encoder(nn.Module):
    """A timm model without its classification head.

    ``body`` is that model under timm's own parameter names. ``channels`` is D, ``stride`` how many
    pixels of the image one element of the features covers; images must be a multiple of it.
    ``is_convolutional`` is true where nothing attends: LoRA then goes on convolutions.
    """

    def __init__(self, body: nn.Module, ends: tuple[int, ...]) -> None:
        super().__init__()
        info: Any = body.feature_info
        self.body: Any = body
        self.ends = ends
        self._stage_modules = tuple(str(info[end]["module"]) for end in ends)
        self.stride = int(info[ends[-1]]["reduction"])
        self.channels = int(info[ends[-1]]["num_chs"])
        self.is_convolutional = not any(hasattr(m, name) for m in body.modules() for name in _PROJECTIONS)
        self._drop_head()

    def forward(self, image: Tensor, stages: bool = False) -> Encoded:
        """Return the features of images (B, 3, H, W), H and W multiples of ``stride``."""
        raise NotImplementedError

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """Return the encoder's parameters by depth: the stem, then those of each stage, in order.

        The stem is what stands before the run of blocks or layers that holds the first stage (a ResNet's
        first convolution and its norm; a transformer's patch and position embedding). Element i + 1 is
        what stage i needs beyond that; the last one also holds the norm or neck behind the last stage.
        """
        named = list(self.body.named_parameters())
        trunk = self._stage_modules[0].split(".")[0]
        cuts = [0, min(i for i, (name, _) in enumerate(named) if name.split(".")[0] == trunk)]
        for module in self._stage_modules[:-1]:
            cuts.append(max(i + 1 for i, (name, _) in enumerate(named) if name.startswith(f"{module}.")))
        parameters = [parameter for _, parameter in named]
        return [parameters[start:end] for start, end in pairwise([*cuts, len(parameters)])]

    def _drop_head(self) -> None:
        """Replace what stands behind the last stage and does not shape the features."""
        names = [name for name, _ in self.body.named_children()]
        for name in names[names.index(self._stage_modules[-1].split(".")[0]) + 1 :]:
            if name not in self._kept_behind_stages:
                setattr(self.body, name, nn.Identity())

    @property
    def _kept_behind_stages(self) -> tuple[str, ...]:
        return ()


class PyramidEncoder(Encoder):
    """CNNs and hierarchical transformers: the features are the last stage's map."""

    def forward(self, image: Tensor, stages: bool = False) -> Encoded:
        """Return the last stage's map and, if asked for, those of all stages."""
        wanted = list(self.ends if stages else self.ends[-1:])
        maps = self.body.forward_intermediates(image, indices=wanted, intermediates_only=True)
        return Encoded(maps[-1], tuple(maps) if stages else ())


class PlainEncoder(Encoder):
    """Transformers with one grid: the features are the normalised (SAM: neck's) output."""

    def __init__(self, body: nn.Module, ends: tuple[int, ...]) -> None:
        super().__init__(body, ends)
        self.channels = int(getattr(body, "num_features", self.channels))

    @property
    def _kept_behind_stages(self) -> tuple[str, ...]:
        return _NORMALISES_FEATURES

    def forward(self, image: Tensor, stages: bool = False) -> Encoded:
        """Return the output as a grid and, if asked for, the blocks' outputs at the stages' ends."""
        if not stages:
            return Encoded(self._grid(self.body.forward_features(image), image), ())
        tokens, maps = self.body.forward_intermediates(image, indices=list(self.ends))
        return Encoded(self._grid(tokens, image), tuple(maps))

    def _grid(self, tokens: Tensor, image: Tensor) -> Tensor:
        if tokens.ndim == 4:
            return tokens
        height, width = (size // self.stride for size in image.shape[2:])
        patches = tokens[:, self.body.num_prefix_tokens :]
        return patches.transpose(1, 2).reshape(len(image), -1, height, width)


def build_encoder(preset: ModelPreset) -> Encoder:
    """Build the preset's encoder with random weights, drawn from torch's global stream.

    Raises ProtocolError for an unknown name, arguments the encoder does not take, an output stride it
    cannot have and an image size that is not a multiple of its stride.
    """
    known = timm.list_models()
    if preset.encoder not in known:
        near = difflib.get_close_matches(preset.encoder, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f", of which there are {len(known)}"
        raise ProtocolError(f"model {preset.name!r}: {preset.encoder!r} is not an encoder of timm's{hint}")
    with torch.device("meta"):
        body = _create(preset, preset.encoder_args)
    arguments = _arguments(preset, type(body))
    with torch.device("meta"):
        _check(preset, _wrap(_create(preset, arguments)))
    return _wrap(_create(preset, arguments))


def _create(preset: ModelPreset, arguments: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(preset.encoder, num_classes=0, **arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError, RuntimeError) as error:
        raise ProtocolError(
            f"model {preset.name!r}: timm cannot build {preset.encoder} with {arguments}: {error}"
        ) from error


def _arguments(preset: ModelPreset, kind: type[nn.Module]) -> dict[str, Any]:
    """Return the preset's arguments, with those for size and stride that this class of model takes."""
    takes = inspect.signature(kind).parameters
    sized = {"img_size": preset.image_size, "dynamic_img_size": True, "output_stride": preset.output_stride}
    known = {key: value for key, value in sized.items() if key in takes and value is not None}
    return known | preset.encoder_args


def _wrap(body: nn.Module) -> Encoder:
    info: Any = getattr(body, "feature_info", [])
    plain = len({stage["reduction"] for stage in info}) == 1 and len(info) > 1
    depth = len(info)
    if plain:
        return PlainEncoder(body, tuple(sorted({-(-depth * i // STAGES) - 1 for i in range(1, STAGES + 1)})))
    return PyramidEncoder(body, tuple(range(max(0, depth - STAGES), depth)))


def _check(preset: ModelPreset, encoder: Encoder) -> None:
    if preset.output_stride not in (None, encoder.stride):
        raise ProtocolError(
            f"model {preset.name!r}: {preset.encoder} cannot have output stride {preset.output_stride}, "
            f"its features come at {encoder.stride}"
        )
    if preset.image_size % encoder.stride:
        raise ProtocolError(
            f"model {preset.name!r}: image_size {preset.image_size} is not a multiple of "
            f"{encoder.stride}, the stride of {preset.encoder}"
        )
