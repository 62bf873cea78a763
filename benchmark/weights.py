"""Where an encoder's weights come from: one of timm's tags, or a local safetensors file with its digest.

timm loads both, with its own conversions and strictly: a key or a shape that does not fit is an error.
An encoder that was asked for with pretrained weights is never left with random ones.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, cast

import timm
import torch.nn.functional as F
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import PatchEmbed, resample_abs_pos_embed_nhwc
from timm.models import VisionTransformerSAM
from torch import Tensor, nn

from benchmark.errors import DataError, ProtocolError, unknown_name
from benchmark.preset import ModelPreset

Config = dict[str, Any]
"""timm's record of where the weights of a tag are and what they were trained on."""

_ANSWER_SECONDS = 5.0
_REASON_LENGTH = 600  # torch names every key; the first few tell which file this is
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_OR_A_FILE = "or give 'pretrained' the path of a local .safetensors file and 'sha256' its digest"


def timm_name(preset: ModelPreset) -> str:
    """Return the encoder's name, with the tag of its weights where it has one.

    Raises ProtocolError for a tag that timm does not have for this encoder.
    """
    if preset.pretrained == "random" or _is_file(preset):
        return preset.encoder
    known = [name.split(".", 1)[1] for name in timm.list_models(f"{preset.encoder}.*", pretrained=True)]
    if preset.pretrained not in known:
        reason = unknown_name(f"weights of {preset.encoder}", preset.pretrained, ["random", *known])
        raise ProtocolError(f"model {preset.name!r}: {reason}; {_OR_A_FILE}")
    return f"{preset.encoder}.{preset.pretrained}"


def load_body(preset: ModelPreset, arguments: dict[str, Any], probe: nn.Module) -> nn.Module:
    """Build the preset's timm model with its pretrained weights, classification head and all.

    ``probe`` is the same model without data. Raises DataError for weights that are absent, unreachable,
    of another digest or another encoder, ProtocolError for a file without a digest.
    """
    config = cast(Config, probe.pretrained_cfg)
    overlay = (_from_file if _is_file(preset) else _from_tag)(preset, config)
    if not isinstance(probe, VisionTransformerSAM):
        return _load(preset, arguments, overlay)
    # timm does not convert SAM's position embeddings on loading: load at their size, then resize.
    at_size = arguments | {"img_size": _trained_size(overlay, config)}
    body = cast(VisionTransformerSAM, _load(preset, at_size, overlay))
    resize_sam(body, arguments["img_size"])
    return body


def resize_sam(body: VisionTransformerSAM, image_size: int) -> None:
    """Fit a SAM encoder's position embeddings to square images of ``image_size`` pixels, in place.

    By the interpolations timm applies on every forward pass to images of another size than the model's:
    bicubic for the absolute embedding, linear for the relative ones of the blocks with global attention.
    """
    grid = image_size // cast(PatchEmbed, body.patch_embed).patch_size[0]
    if body.pos_embed is not None:
        body.pos_embed = nn.Parameter(resample_abs_pos_embed_nhwc(body.pos_embed.detach(), [grid, grid]))
    for block in cast(Any, body.blocks):
        if block.window_size == 0 and block.attn.use_rel_pos:
            for name in ("rel_pos_h", "rel_pos_w"):
                setattr(block.attn, name, nn.Parameter(_resize_rows(getattr(block.attn, name), 2 * grid - 1)))


def _is_file(preset: ModelPreset) -> bool:
    return preset.pretrained.endswith(".safetensors")


def _from_file(preset: ModelPreset, config: Config) -> Config:
    path = Path(preset.pretrained).expanduser()
    if preset.sha256 is None:
        raise ProtocolError(f"model {preset.name!r}: weights {path} need their digest in 'sha256'")
    if not path.is_file():
        raise DataError(f"model {preset.name!r}: weights file {path} does not exist")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != preset.sha256.lower():
        raise DataError(
            f"model {preset.name!r}: weights file {path} has SHA-256 {digest}, expected {preset.sha256}"
        )
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise DataError(f"model {preset.name!r}: {path} is not a safetensors file: {error}") from error
    return {"state_dict": state, "num_classes": _classes(state, config), "custom_load": False}


def _classes(state: dict[str, Tensor], config: Config) -> int:
    """Return for how many classes the file has a head: timm then builds, loads and we drop it."""
    heads = config.get("classifier") or ()
    for head in (heads,) if isinstance(heads, str) else heads:
        if f"{head}.weight" in state:
            return len(state[f"{head}.weight"])
    return 0


def _from_tag(preset: ModelPreset, config: Config) -> Config:
    hub = config.get("hf_hub_id")
    if not hub:
        return {}
    name, _, revision = str(hub).partition("@")
    for file in (config.get("hf_hub_filename"), *_HUB_FILES):
        cached = try_to_load_from_cache(name, file, revision=revision or None) if file else None
        if isinstance(cached, str):
            return {"file": cached}
    # Asked once, here: the hub's own client retries for a minute when there is no network.
    if constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT):
        raise _absent(preset, f"not in {constants.HF_HUB_CACHE}, and the Hugging Face Hub cannot be reached")
    return {}


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it answered; whether it has the file is asked next
    except OSError:
        return False


def _absent(preset: ModelPreset, why: str) -> DataError:
    return DataError(
        f"model {preset.name!r}: weights {preset.pretrained!r} of {preset.encoder} are {why}; "
        f"fetch them with a network once, {_OR_A_FILE}"
    )


def _load(preset: ModelPreset, arguments: dict[str, Any], overlay: Config) -> nn.Module:
    name = timm_name(preset)
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except OSError as error:
        raise _absent(preset, f"not to be had ({' '.join(str(error).split())})") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:_REASON_LENGTH]
        raise DataError(
            f"model {preset.name!r}: weights {preset.pretrained!r} do not fit {preset.encoder}: {reason}"
        ) from error


def _trained_size(overlay: Config, config: Config) -> int:
    """Return the side in pixels of the images that a SAM encoder's weights are for."""
    for key, value in overlay.get("state_dict", {}).items():
        if key.endswith("pos_embed"):
            stem = overlay["state_dict"][key.removesuffix("pos_embed") + "patch_embed.proj.weight"]
            return int(value.shape[1] * stem.shape[-1])
    return int(config["input_size"][-1])


def _resize_rows(rows: Tensor, count: int) -> Tensor:
    """Resample (L, D) to (count, D), linearly along L."""
    return F.interpolate(rows.detach().T[None], size=count, mode="linear")[0].T.contiguous()
