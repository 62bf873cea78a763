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
from benchmark.weights import load_body, timm_name

STAGES = 4
"""Stages an encoder is cut into: a pyramid's last four maps, four equal runs of a transformer's blocks."""

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

    def forward(self, image: Tensor, stages: bool = False) -> Encoded:
        """Return the features of images (B, 3, H, W), H and W multiples of ``stride``."""
        raise NotImplementedError

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """Return the encoder's parameters by depth: the stem, then those of each stage, in order.

        The stem is what stands before the run of blocks or layers that holds the first stage (a ResNet's
        first convolution and its norm; a transformer's patch and position embedding). Element i + 1 is
        what stage i needs beyond that; the last one also holds the norm or neck behind the last stage.
        """
        order = {name: i for i, (name, _) in enumerate(self.body.named_modules())}
        absent = [stage for stage in self._stage_modules if stage not in order]
        if absent:
            raise ProtocolError(
                f"the stages of {type(self.body).__name__} are no modules of their own: {absent}"
            )
        owners = [order[name.rpartition(".")[0]] for name, _ in self.body.named_parameters()]
        trunk = order[self._stage_modules[0].split(".")[0]]
        ends = [max(order[name] for name in order if _within(name, stage)) for stage in self._stage_modules]
        cuts = [0, sum(i < trunk for i in owners), *(sum(i <= end for i in owners) for end in ends[:-1])]
        parameters = list(self.body.parameters())
        return [parameters[start:end] for start, end in pairwise([*cuts, len(parameters)])]


class PyramidEncoder(Encoder):
    """CNNs and hierarchical transformers: the features are the last stage's map."""

    def __init__(self, body: nn.Module, ends: tuple[int, ...]) -> None:
        super().__init__(body, ends)
        self.body.prune_intermediate_layers(list(ends), prune_norm=True, prune_head=True)

    def forward(self, image: Tensor, stages: bool = False) -> Encoded:
        """Return the last stage's map and, if asked for, those of all stages."""
        wanted = list(self.ends if stages else self.ends[-1:])
        maps = self.body.forward_intermediates(image, indices=wanted, intermediates_only=True)
        return Encoded(maps[-1], tuple(maps) if stages else ())


class PlainEncoder(Encoder):
    """Transformers with one grid: the features are the normalised (SAM: neck's) output."""

    def __init__(self, body: nn.Module, ends: tuple[int, ...]) -> None:
        super().__init__(body, ends)
        self.channels = int(self.body.num_features)
        self.body.reset_classifier(0, "")
        if hasattr(body, "fc_norm"):
            self.body.fc_norm = nn.Identity()  # normalises the pooled classification feature only

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
        patches = tokens[:, getattr(self.body, "num_prefix_tokens", 0) :]
        return patches.transpose(1, 2).reshape(len(image), -1, height, width)


class _Settled(NamedTuple):
    """timm's name of a network, all of its arguments, and the network without data."""

    name: str
    arguments: dict[str, Any]
    probe: nn.Module


_SETTLED: dict[str, _Settled] = {}


def _within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def build_encoder(preset: ModelPreset, load_weights: bool = True) -> Encoder:
    """Build the preset's encoder; random weights are drawn from torch's global stream.

    Raises ProtocolError for an unknown name, arguments the encoder does not take, an output stride it
    cannot have and an image size that is no multiple of its stride, DataError as :func:`load_body`.
    """
    settled = _settle(preset)
    if load_weights and preset.pretrained != "random":
        return _wrap(preset, load_body(preset, settled.arguments, settled.probe))
    return _wrap(preset, timm.create_model(settled.name, num_classes=0, **settled.arguments))


def _settle(preset: ModelPreset) -> _Settled:
    """Find out, without data, what timm is to build, and that it is what the preset asks for.

    Kept for each network, since it takes ten times as long as building a small one.
    """
    asked = (preset.encoder, preset.pretrained, preset.image_size, preset.output_stride, preset.encoder_args)
    key = repr(asked)  # arguments are a dict, and have no hash
    if key in _SETTLED:
        return _SETTLED[key]
    _check_name(preset)
    name = timm_name(preset)
    with torch.device("meta"), torch.no_grad():
        arguments = _arguments(preset, type(_probe(preset, name, preset.encoder_args)))
        probe = _probe(preset, name, arguments)
        _check(preset, _wrap(preset, probe), sized="img_size" in arguments)
    _SETTLED[key] = _Settled(name, arguments, probe)
    return _SETTLED[key]


def _check_name(preset: ModelPreset) -> None:
    known = timm.list_models()
    if preset.encoder not in known:
        near = difflib.get_close_matches(preset.encoder, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"timm has {len(known)}"
        raise ProtocolError(f"model {preset.name!r}: unknown encoder {preset.encoder!r}; {hint}")


def _probe(preset: ModelPreset, name: str, arguments: dict[str, Any]) -> nn.Module:
    """Build without data what is to be built, so that what the preset asks for is refused early."""
    try:
        return timm.create_model(name, num_classes=0, **arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError, RuntimeError) as error:
        raise ProtocolError(
            f"model {preset.name!r}: timm cannot build {name} with {arguments}: {error!r}"
        ) from error


def _arguments(preset: ModelPreset, kind: type[nn.Module]) -> dict[str, Any]:
    """Return the preset's arguments, with those for size and stride that this class of model takes."""
    takes = inspect.signature(kind).parameters
    sized = {"img_size": preset.image_size, "dynamic_img_size": True, "output_stride": preset.output_stride}
    known = {key: value for key, value in sized.items() if key in takes and value is not None}
    return known | preset.encoder_args


def _wrap(preset: ModelPreset, body: nn.Module) -> Encoder:
    stages: Any = getattr(body, "feature_info", None)
    if not stages or not hasattr(body, "forward_intermediates"):
        raise ProtocolError(
            f"model {preset.name!r}: {preset.encoder} does not hand out the maps of its stages"
        )
    depth = len(stages)
    if len({stage["reduction"] for stage in stages}) == 1:
        return PlainEncoder(body, tuple(sorted({-(-depth * i // STAGES) - 1 for i in range(1, STAGES + 1)})))
    return PyramidEncoder(body, tuple(range(max(0, depth - STAGES), depth)))


def _check(preset: ModelPreset, encoder: Encoder, sized: bool) -> None:
    where, stride = f"model {preset.name!r}: {preset.encoder}", encoder.stride
    if preset.output_stride not in (None, stride):
        raise ProtocolError(f"{where} has output stride {stride}, expected {preset.output_stride}")
    if sized and preset.image_size % stride:
        raise ProtocolError(
            f"{where} needs an image_size that is a multiple of {stride}, got {preset.image_size}"
        )
    side = -(-preset.image_size // stride) * stride
    try:
        features = encoder.eval()(torch.empty(1, 3, side, side)).features
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ProtocolError(f"{where} cannot take images of {side} pixels: {error}") from error
    expected = (1, encoder.channels, side // stride, side // stride)
    if features.shape != expected:
        raise ProtocolError(f"{where} gives features of shape {tuple(features.shape)}, expected {expected}")
