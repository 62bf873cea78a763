"""Where an encoder starts from: pretrained weights of timm's, or a local file with its digest."""

from __future__ import annotations

from benchmark.encoder import Encoder
from benchmark.preset import ModelPreset


def load_encoder_weights(encoder: Encoder, preset: ModelPreset) -> None:
    """Load what the preset's ``pretrained`` names into the encoder; ``random`` leaves it as it is."""
    if preset.pretrained == "random":
        return
    raise NotImplementedError
