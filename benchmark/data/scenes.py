"""Scenes of simple shapes, rendered from a seed: what the dataset ``shapes`` consists of.

What an object is shows in its form. Its hue narrows that down, as it does in photographs, and decides
nothing: two classes share each range of hues, a fifth of the objects and all distractor strokes have any hue.
Textures, sizes and rotations are drawn alike for all classes; the background is dull. Apart from ``math.sin``
and ``math.cos`` of a rotation, all operations are ones that IEEE 754 rounds the same way everywhere, so that
a seed gives the same scene on any machine.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE = 64
FINE = 2  # samples along each side of a pixel
Grid = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Scene(NamedTuple):
    """``image`` (64, 64, 3) and ``label`` (64, 64), uint8."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


# Forms over coordinates in units of the object's radius.


def _disc(x: Grid, y: Grid) -> Mask:
    return x * x + y * y <= 0.85**2


def _ring(x: Grid, y: Grid) -> Mask:
    squared = x * x + y * y
    return (squared <= 1.0) & (squared >= 0.5**2)


def _square(x: Grid, y: Grid) -> Mask:
    return np.maximum(np.abs(x), np.abs(y)) <= 0.75


def _triangle(x: Grid, y: Grid) -> Mask:
    return (y >= -0.6) & (math.sqrt(3) * np.abs(x) + y <= 1.2)


def _star(x: Grid, y: Grid) -> Mask:
    """Four-pointed: under the curve |x|^(1/2) + |y|^(1/2) = const."""
    return np.sqrt(np.abs(x)) + np.sqrt(np.abs(y)) <= 1.25


def _cross(x: Grid, y: Grid) -> Mask:
    short, long = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
    return (short <= 0.3) & (long <= 1.0)


def _crescent(x: Grid, y: Grid) -> Mask:
    return (x * x + y * y <= 1.0) & ((x - 0.5) ** 2 + y * y >= 0.75**2)


def _bar(x: Grid, y: Grid) -> Mask:
    return (np.abs(x) <= 1.15) & (np.abs(y) <= 0.36)


FORMS: dict[str, Callable[[Grid, Grid], Mask]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "bar": _bar,
}
"""Label 1, 2, ... by name, in the dataset's order."""

HUES = (0, 1, 0, 2, 1, 3, 2, 3)
"""Quarter of the colour circle by class: disc and square share one, ring and star, ..., cross and bar."""

ANY_HUE = 0.2
"""Share of objects whose hue is not their class's."""

KINDS = (0.2, 0.3, 0.3, 0.2)
"""Probabilities of one, two, three and four different classes in a scene."""


def render(seed: tuple[int, ...]) -> Scene:
    """Return the scene of a seed: distractor strokes, then three to six objects, later ones in front."""
    stream = np.random.default_rng(seed)
    canvas = _Canvas(_texture(stream, _dull(stream)), np.zeros((SIDE, SIDE), np.uint8), [])
    for _ in range(stream.integers(3, 8)):
        canvas.stroke(stream)
    kinds = stream.choice(len(FORMS), size=stream.choice(len(KINDS), p=KINDS) + 1, replace=False)
    for index in range(stream.integers(max(3, len(kinds)), 7)):
        canvas.put(stream, int(kinds[index % len(kinds)]))
    return canvas.scene(stream)


class _Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True, eq=False)
class _Canvas:
    """A scene in the making. ``image`` (64, 64, 3) in 0..1; ``centres`` of the objects that are there."""

    image: Grid
    label: NDArray[np.uint8]
    centres: list[_Point]

    def stroke(self, stream: Generator) -> None:
        """Draw a line that belongs to no class."""
        middle, radius = _Point(*stream.uniform(0, SIDE, 2)), stream.uniform(8, 30)
        half_width = stream.uniform(0.5, 1.2) / radius
        x, y = _local(middle, radius, stream.uniform(0, math.pi))
        self._paint(stream, (np.abs(x) <= 1) & (np.abs(y) <= half_width), stream.uniform(0, 1))

    def put(self, stream: Generator, kind: int) -> None:
        """Put an object of a class in front, rather where there is none yet."""
        candidates = [_Point(*point) for point in stream.uniform(6, SIDE - 6, (4, 2))]
        centre = max(candidates, key=self._room)
        x, y = _local(centre, stream.uniform(10, 16), stream.uniform(0, 2 * math.pi))
        own = (HUES[kind] + stream.uniform(0.15, 0.85)) / len(set(HUES))
        hue = stream.uniform(0, 1) if stream.uniform() < ANY_HUE else own
        covered = self._paint(stream, list(FORMS.values())[kind](x, y), hue)
        self.label[covered >= 0.5] = kind + 1
        self.centres.append(centre)

    def scene(self, stream: Generator) -> Scene:
        """Return the scene under uneven light, with noise."""
        light = 1 + stream.uniform(-0.2, 0.2) * _ramp(stream.uniform(0, 2 * math.pi))
        noise = stream.uniform(-0.04, 0.04, self.image.shape)
        image = np.clip(self.image * light[:, :, None] + noise, 0, 1)
        return Scene(np.floor(image * 255 + 0.5).astype(np.uint8), self.label)

    def _room(self, point: _Point) -> float:
        return min(((point.x - c.x) ** 2 + (point.y - c.y) ** 2 for c in self.centres), default=0.0)

    def _paint(self, stream: Generator, mask: Mask, hue: float) -> Grid:
        """Paint a new texture over a mask of samples; return the share of each pixel it covers."""
        covered = _share(mask)
        behind = self.image[covered > 0]
        texture = _texture(stream, _vivid(stream, hue, behind.mean(axis=0) if behind.size else None))
        self.image[:] += covered[:, :, None] * (texture - self.image)
        return covered


def _share(mask: Mask) -> Grid:
    """The share of each pixel's samples that lie in a mask, (64, 64)."""
    count = np.zeros((SIDE, SIDE))
    for sample in np.ndindex(FINE, FINE):
        count += mask[sample[0] :: FINE, sample[1] :: FINE]
    return count / FINE**2


class _Local(NamedTuple):
    x: Grid
    y: Grid


def _local(centre: _Point, radius: float, angle: float) -> _Local:
    """Coordinates of all samples in a frame that is moved, scaled and rotated."""
    at = (np.arange(SIDE * FINE) + 0.5) / FINE
    x, y = (at[None, :] - centre.x) / radius, (at[:, None] - centre.y) / radius
    cos, sin = math.cos(angle), math.sin(angle)
    return _Local(cos * x + sin * y, cos * y - sin * x)


def _ramp(angle: float) -> Grid:
    """A plane over all pixels that rises in a direction, about -1 to 1."""
    at = (np.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    ramp: Grid = math.cos(angle) * at[None, :] + math.sin(angle) * at[:, None]
    return ramp


def _dull(stream: Generator) -> Grid:
    """A colour of any hue and little saturation."""
    return np.array(
        colorsys.hsv_to_rgb(stream.uniform(0, 1), stream.uniform(0, 0.4), stream.uniform(0.2, 0.9))
    )


def _vivid(stream: Generator, hue: float, unlike: Grid | None) -> Grid:
    """A saturated colour of a hue; of four the one least like what lies behind, so that edges show."""
    drawn = zip(stream.uniform(0.5, 1.0, 4), stream.uniform(0.35, 0.95, 4), strict=True)
    colours = np.array([colorsys.hsv_to_rgb(hue, saturation, value) for saturation, value in drawn])
    if unlike is None:
        return colours[0]
    best: Grid = colours[np.argmax(((colours - unlike) ** 2).sum(axis=1))]
    return best


def _texture(stream: Generator, colour: Grid) -> Grid:
    """A plain, striped, chequered or patchy area around a colour, (64, 64, 3)."""
    other = np.clip(colour + stream.uniform(-0.2, 0.2, 3), 0, 1)
    share = _PATTERNS[stream.integers(len(_PATTERNS))](stream)[:, :, None]
    return colour + share * (other - colour)


def _plain(stream: Generator) -> Grid:
    return np.zeros((SIDE, SIDE))


def _stripes(stream: Generator) -> Grid:
    phase = _ramp(stream.uniform(0, math.pi)) * stream.uniform(5, 12)
    return (np.floor(phase) % 2).astype(np.float64)


def _checks(stream: Generator) -> Grid:
    angle, cells = stream.uniform(0, math.pi), stream.uniform(4, 9)
    phase = np.floor(_ramp(angle) * cells) + np.floor(_ramp(angle + math.pi / 2) * cells)
    return (phase % 2).astype(np.float64)


def _patches(stream: Generator) -> Grid:
    """Random values on a coarse grid, interpolated linearly."""
    coarse = stream.uniform(0, 1, (9, 9))
    at = (np.arange(SIDE) + 0.5) * (8 / SIDE)
    cell, part = np.floor(at).astype(np.int64), at - np.floor(at)
    rows = coarse[cell] + part[:, None] * (coarse[cell + 1] - coarse[cell])
    patches: Grid = rows[:, cell] + part * (rows[:, cell + 1] - rows[:, cell])
    return patches


_PATTERNS = (_plain, _stripes, _checks, _patches)
