"""Objects cut out of photographs, and backgrounds: what the pictures of a made world consist of.

The photographs are the CC0 and public-domain ones inside scikit-image's wheel (extra: demo), found
by path, so that scikit-image itself is never imported. The outlines are ours: `cutouts.json`, in
pixels of each photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from math import floor, log2, sqrt
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.types import Bits, Size

__all__ = ["Cutout", "Drawn", "Level", "Picture", "background", "load_cutouts", "scale"]

Picture = npt.NDArray[np.uint8]

_FINE = 4  # outlines are drawn this much larger, then averaged
_SHRUNK_PX = 0.75  # outlines are drawn this much inside, so that no old background shines through
_RAMPS = {  # texture photographs are grey: these are their dark, middle and light in RGB
    "grass": ((18, 30, 10), (84, 104, 44), (206, 204, 136)),
    "gravel": ((36, 31, 30), (134, 118, 104), (226, 216, 200)),
    "brick": ((52, 26, 20), (146, 78, 58), (214, 190, 166)),
}
_TEXTURE_ZOOM = 1.3


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """A cut-out at one resolution.

    colour  [h, w, 3] uint8 RGB, times opacity
    veil    [h, w, 3] uint8, 255 - opacity: what it leaves of the picture behind it
    matrix  [3, 3], this level's pixels to the full cut-out's
    """

    colour: Picture
    veil: Picture
    matrix: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """An object at resolutions that halve from one to the next.

    area    pixels of the full cut-out that are the object's
    """

    levels: tuple[Level, ...]
    area: float

    @property
    def size(self) -> Size:
        height, width = self.levels[0].colour.shape[:2]
        return Size(width, height)

    def level(self, scale: float) -> Level:
        """The one to draw at a scale: less than halved, so that fine detail does not flicker."""
        halvings = floor(log2(1 / max(scale, 1e-6)))
        return self.levels[min(max(halvings, 0), len(self.levels) - 1)]

    def drawn(self, pose: npt.NDArray[np.float64], frame: Size) -> Drawn | None:
        """How it is drawn where `pose` puts it ([2, 3], its pixels to frame pixels).

        None where nothing of it is in the frame.
        """
        width, height = self.size.width, self.size.height
        corners = pose @ [[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]
        left, top = (max(floor(low) - 2, 0) for low in corners.min(axis=1))
        right, bottom = (floor(high) + 3 for high in corners.max(axis=1))
        right, bottom = min(right, frame.width), min(bottom, frame.height)
        if left >= right or top >= bottom:
            return None
        level = self.level(scale(pose))
        matrix = pose @ level.matrix - [[0, 0, left], [0, 0, top]]
        return Drawn(left, top, (right - left, bottom - top), matrix, level)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Where a cut-out is drawn: a rectangle of whole frame pixels, and the matrix into it."""

    left: int
    top: int
    size: tuple[int, int]  # width, height
    matrix: npt.NDArray[np.float64]
    level: Level

    @property
    def window(self) -> tuple[slice, slice]:
        width, height = self.size
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def colour(self) -> Picture:
        return self._warp(self.level.colour, (0, 0, 0))

    def veil(self) -> Picture:
        return self._warp(self.level.veil, (255, 255, 255))

    def bits(self) -> Bits:
        """At least half of the pixel is the object's."""
        return self._warp(self.level.veil[..., 0], (255,)) < 128

    def hide(self, bits: Bits, behind: Drawn) -> None:
        """Clears the bits of what is drawn behind this, where this covers it."""
        left, top = max(behind.left, self.left), max(behind.top, self.top)
        right = min(behind.left + behind.size[0], self.left + self.size[0])
        bottom = min(behind.top + behind.size[1], self.top + self.size[1])
        if left < right and top < bottom:
            hidden = bits[behind.within(left, top, right, bottom)]
            hidden &= ~self.bits()[self.within(left, top, right, bottom)]

    def within(self, left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
        """A rectangle of the frame as rows and columns of this."""
        return slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)

    def _warp(self, source: Picture, outside: tuple[int, ...]) -> Picture:
        picture = cv2.warpAffine(source, self.matrix, self.size, borderValue=outside)
        return np.asarray(picture, np.uint8)


class _Outline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    photograph: str
    outline: list[tuple[float, float]]


@cache
def load_cutouts() -> dict[str, Cutout]:
    """By name. Raises ConfigError without scikit-image."""
    content = files("glasses_sdk.sensors").joinpath("cutouts.json").read_bytes()
    outlines = msgspec.json.decode(content, type=dict[str, _Outline])
    return {name: _cut(_photograph(one.photograph), one.outline) for name, one in outlines.items()}


def background(name: str, seed: int, size: Size) -> Picture:
    """A photographed ground, tinted, larger than life and unevenly lit: [H, W, 3] uint8 RGB.

    Raises DataError for an unknown name and ConfigError without scikit-image.
    """
    if name not in _RAMPS:
        raise DataError(f"no background {name!r}; known: {', '.join(_RAMPS)}")
    grey = _photograph(f"{name}.png")[..., 0]
    zoomed = cv2.resize(
        grey, None, fx=_TEXTURE_ZOOM, fy=_TEXTURE_ZOOM, interpolation=cv2.INTER_CUBIC
    )
    grey = np.asarray(zoomed, np.uint8)
    tiled = np.pad(grey, _beyond((size.height, size.width), grey.shape), mode="reflect")[
        : size.height, : size.width
    ]
    ramp = np.array(_RAMPS[name], np.float64)
    table = [np.interp(np.arange(256), (0, 128, 255), ramp[:, channel]) for channel in range(3)]
    coloured = np.stack([np.asarray(curve, np.float32)[tiled] for curve in table], axis=-1)
    return np.clip(coloured * _light(seed, size), 0, 255).astype(np.uint8)


def scale(pose: npt.NDArray[np.float64]) -> float:
    """Frame pixels a cut-out pixel."""
    return sqrt(abs(float(np.linalg.det(pose[:, :2]))))


def _beyond(wanted: tuple[int, int], there: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(0, max(want - have, 0)) for want, have in zip(wanted, there, strict=True)]


def _light(seed: int, size: Size) -> npt.NDArray[np.float32]:
    """Bright and dark, warm and cold places: factors [H, W, 3] about 1."""
    rng = np.random.default_rng([seed, 3])
    coarse = rng.uniform(0.7, 1.25, (4, 5, 1)) * rng.uniform(0.95, 1.05, (4, 5, 3))
    fine = cv2.resize(coarse, (size.width, size.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, np.float32)


def _photograph(name: str) -> Picture:
    """[H, W, 3] uint8 RGB."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise ConfigError(
            "the made world is put together of scikit-image's photographs, and scikit-image is not "
            "installed: pip install 'glasses-sdk[demo]'"
        )
    path = Path(package.origin).parent / "data" / name
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.exists() else None
    if picture is None:
        raise ConfigError(
            f"scikit-image has no photograph {path}: pip install --force-reinstall "
            "'glasses-sdk[demo]'"
        )
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _cut(photograph: Picture, outline: list[tuple[float, float]]) -> Cutout:
    opacity = _opacity(outline, photograph.shape[:2])
    left, top, width, height = cv2.boundingRect((opacity > 0).astype(np.uint8))
    window = slice(top, top + height), slice(left, left + width)
    opacity = np.pad(opacity[window], 2)
    colour = np.pad(photograph[window], ((2, 2), (2, 2), (0, 0)), mode="edge")
    return Cutout(tuple(_levels(colour * opacity[..., None], opacity)), _area(opacity))


def _area(opacity: npt.NDArray[np.float32]) -> float:
    return float(np.count_nonzero(opacity >= 0.5))


def _opacity(outline: list[tuple[float, float]], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """[H, W] in 0 to 1: the inside of the outline, its edge one pixel soft."""
    fine = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    corners = np.round(np.array(outline) * _FINE).astype(np.int32)
    cv2.fillPoly(fine, [corners], 1)
    depth = cv2.distanceTransform(fine, cv2.DIST_L2, 5) / _FINE
    ramp = np.clip(depth - _SHRUNK_PX + 0.5, 0, 1).astype(np.float32)
    return np.asarray(
        cv2.resize(ramp, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float32
    )


def _levels(colour: npt.NDArray[np.float32], opacity: npt.NDArray[np.float32]) -> list[Level]:
    """From the full resolution down to a few pixels."""
    height, width = opacity.shape
    levels = [_level(colour, opacity, 1.0, 1.0)]
    while min(opacity.shape) >= 4:
        half = (max(opacity.shape[1] // 2, 1), max(opacity.shape[0] // 2, 1))
        colour = np.asarray(cv2.resize(colour, half, interpolation=cv2.INTER_AREA), np.float32)
        opacity = np.asarray(cv2.resize(opacity, half, interpolation=cv2.INTER_AREA), np.float32)
        levels.append(_level(colour, opacity, width / half[0], height / half[1]))
    return levels


def _level(
    colour: npt.NDArray[np.float32], opacity: npt.NDArray[np.float32], x: float, y: float
) -> Level:
    veil = np.round(255 - 255 * opacity).astype(np.uint8)
    return Level(
        np.round(colour).astype(np.uint8),
        np.ascontiguousarray(np.repeat(veil[..., None], 3, axis=-1)),
        np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]]),
    )
