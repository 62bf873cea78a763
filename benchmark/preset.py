"""Model presets: one TOML each in ``protocols/models``. They own what goes with the size of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelPreset:
    """Network, input size, batch, optimiser and precision of a board.

    Sizes are in pixels. ``pretrained`` is ``random`` (a value one asks for), a tag of timm's
    (``a1_in1k``) or the path of a safetensors file, whose ``sha256`` must then be given.
    ``resize`` is the length the shorter side of every image is brought to before augmentation and
    before evaluation (labels are always scored at their original resolution); None leaves images as
    they are. Learning rates are the poly schedule's first: at step 0, at later steps, and at later
    steps that add one class (None: as other later steps).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    description: str
    encoder: str
    pretrained: str
    decoder: Literal["aspp", "conv"]
    image_size: Count
    batch_size: Count
    learning_rate: Positive
    learning_rate_later: Positive
    learning_rate_one_class: Positive | None = None
    sha256: str | None = None
    encoder_args: dict[str, Any] = field(default_factory=dict)
    output_stride: Literal[8, 16, 32] | None = None
    decoder_channels: Count = 256
    aspp_rates: tuple[Count, ...] = (6, 12, 18)
    resize: Count | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    poly_power: Positive = 0.9
    precision: Literal["fp32", "bf16"] = "fp32"

    def rate(self, step: int, new_classes: int) -> float:
        """Return the first learning rate of a step that adds ``new_classes`` classes."""
        if step == 0:
            return self.learning_rate
        if new_classes == 1 and self.learning_rate_one_class is not None:
            return self.learning_rate_one_class
        return self.learning_rate_later
