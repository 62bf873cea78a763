"""Reading image files, with one sentence for each way in which one can be bad."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from benchmark.errors import DataError

IMAGE_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg")
_DEEP_MODES = ("I", "F")  # modes of more than 8 bits a channel; converting them would clip in silence


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return an image file as (H, W, 3) uint8 RGB.

    Greyscale, palette, CMYK and images with alpha are converted, alpha dropped. The orientation in EXIF is
    ignored, since label maps are drawn over the stored pixels. Raises DataError for a file that is
    missing, truncated, no image, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise DataError(f"image {path} has mode {image.mode}; expected 8 bits a channel")
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"image {path} cannot be read: {_reason(error)}") from error


def size_of(path: Path) -> Size:
    """Return an image file's size, from its header alone. Raises DataError as :func:`read_rgb`."""
    try:
        with Image.open(path) as image:
            return Size(image.height, image.width)
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image file") from error
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"image {path} cannot be read: {_reason(error)}") from error


def file_stamp(path: Path) -> str:
    """Return a file's name, size in bytes and time of last change. Raises DataError if it is gone."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"file {path} cannot be read: {_reason(error)}") from error
    return f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
