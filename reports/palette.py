"""Colours of label maps, and label maps as small PNGs with a palette."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Okabe and Ito's colours, which colour-blind readers tell apart, then the same lighter and darker.
_HUES = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
_MIXES = ((0, 0.0), (255, 0.55), (0, 0.45), (255, 0.3), (0, 0.25))
_BACKGROUND = (38, 44, 50)
_IGNORED = (255, 255, 255)
IGNORE = 255


def colour(index: int) -> tuple[int, int, int]:
    """Return the colour (red, green, blue) of an index: 0 is background, 255 what is not scored.

    35 classes differ; beyond that colours repeat, and the legend lists only what is in the pictures.
    """
    if index == 0:
        return _BACKGROUND
    if index == IGNORE:
        return _IGNORED
    towards, share = _MIXES[(index - 1) // len(_HUES) % len(_MIXES)]
    red, green, blue = (round(c + share * (towards - c)) for c in _HUES[(index - 1) % len(_HUES)])
    return red, green, blue


def hexadecimal(index: int) -> str:
    """Return a colour as SVG takes it."""
    return "#{:02x}{:02x}{:02x}".format(*colour(index))


_FLAT = [channel for index in range(256) for channel in colour(index)]


def label_png(label: NDArray[np.uint8]) -> bytes:
    """Return a label map (H, W) as a PNG in these colours."""
    height, width = label.shape
    picture = Image.frombytes("P", (width, height), label.tobytes())
    picture.putpalette(_FLAT)
    return _bytes(picture)


def image_png(image: NDArray[np.uint8]) -> bytes:
    """Return an image (H, W, 3) as a PNG."""
    return _bytes(Image.fromarray(image))


def _bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
