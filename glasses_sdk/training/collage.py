"""Several objects laid over one picture, one of them meant.

Photographs that are annotated show few things that hide one another, and what an app's wearer looks
at often lies before something larger, or beside its like. So objects are cut out of other pictures
and laid at random (copy-paste: Ghiasi et al., CVPR 2021), of any size and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.crop import Picture, crop
from glasses_sdk.geometry import mask_box, visible
from glasses_sdk.types import Roi, Size

__all__ = ["PIECES", "Collage", "Piece", "lay"]

Bitmap = npt.NDArray[np.uint8]

PIECES = 3, 6  # from, to

_SIZE = Size(960, 540)
_HEIGHTS = 0.08, 0.8  # of the picture's, evenly over their logarithm
_MOST_ENLARGED = 3.0
_BEYOND = 0.3  # of a piece's sides, at most beyond the picture's edge
_SLIMMER = 1.4, 5.5  # times, across or down: few things in photographs are slender
_UPRIGHT = 0.75  # share of those that are squeezed across
_LEAST_SEEN = 0.35  # of an object, for it to be looked at
_LEAST_PIXELS = 150


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """An object of a picture: the picture [H, W, 3], its mask [H, W] of 0 and 1, and its box."""

    picture: Picture
    mask: Bitmap
    box: Roi


@dataclass(frozen=True, slots=True, eq=False)
class Collage:
    """What was laid, and what can be seen of the piece that is meant.

    picture  [540, 960, 3]
    mask     [540, 960], 1 where that piece is to be seen
    box      of that part
    meant    the number of the piece
    """

    picture: Picture
    mask: Bitmap
    box: Roi
    meant: int


def lay(
    background: Picture, pieces: Sequence[Piece], rng: np.random.Generator, squeeze: float = 0.0
) -> Collage | None:
    """The pieces over a background, the last one on top; None where none of them can be meant.

    Any may be meant that is neither mostly hidden nor a speck. `squeeze` is the share of the pieces
    that are made slender.
    """
    picture = _covering(background)
    seen: list[Bitmap] = []
    areas: list[int] = []
    for piece in pieces:
        laid = _laid(picture, piece, rng, squeeze)
        for under in seen:
            under[laid > 0] = 0
        seen.append(laid)
        areas.append(int(np.count_nonzero(laid)))
    there = [
        n
        for n, (bits, area) in enumerate(zip(seen, areas, strict=True))
        if np.count_nonzero(bits) >= max(_LEAST_SEEN * area, _LEAST_PIXELS)
    ]
    if not there:
        return None
    meant = there[int(rng.integers(len(there)))]
    box = mask_box(seen[meant] > 0, Roi(0, 0, _SIZE.width, _SIZE.height))
    return Collage(picture, seen[meant], box, meant) if box else None


def _covering(background: Picture) -> Picture:
    """As much of the middle of it as has the collage's shape."""
    height, width = background.shape[:2]
    scale = min(width / _SIZE.width, height / _SIZE.height)
    middle = Roi.around(width / 2, height / 2, scale * _SIZE.width, scale * _SIZE.height)
    return crop(background, middle, _SIZE)


def _laid(picture: Picture, piece: Piece, rng: np.random.Generator, squeeze: float) -> Bitmap:
    """Lays one piece onto the picture, in place; 1 where it now is."""
    laid = np.zeros(picture.shape[:2], np.uint8)
    cut = _cut_out(piece, rng, squeeze)
    if cut is None:
        return laid
    rgb, opacity = cut
    size = Size(opacity.shape[1], opacity.shape[0])
    x = int(rng.uniform(-_BEYOND * size.width, _SIZE.width - (1 - _BEYOND) * size.width))
    y = int(rng.uniform(-_BEYOND * size.height, _SIZE.height - (1 - _BEYOND) * size.height))
    left, right = max(x, 0), min(x + size.width, _SIZE.width)
    top, bottom = max(y, 0), min(y + size.height, _SIZE.height)
    inside = slice(top - y, bottom - y), slice(left - x, right - x)
    window = slice(top, bottom), slice(left, right)
    share = opacity[inside][..., None] / np.float32(255)
    picture[window] = picture[window] * (1 - share) + rgb[inside] * share
    laid[window] = opacity[inside] >= 128
    return laid


def _cut_out(
    piece: Piece, rng: np.random.Generator, squeeze: float
) -> tuple[Picture, Bitmap] | None:
    """The object at a random size, perhaps mirrored: RGB, and opacity 0..255 with a soft edge."""
    height, width = piece.mask.shape
    box = visible(piece.box, Size(width, height))
    if box is None:
        return None
    tall = _SIZE.height * exp(rng.uniform(log(_HEIGHTS[0]), log(_HEIGHTS[1])))
    scale = min(tall / box.height, _SIZE.width / box.width, _MOST_ENLARGED)
    across, down = _slimmer(rng) if squeeze and rng.random() < squeeze else (1.0, 1.0)
    size = max(round(box.width * scale * across), 2), max(round(box.height * scale * down), 2)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    mirrored = bool(rng.random() < 0.5)
    rows, columns = slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))

    def cut(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        part = np.flip(picture[rows, columns], 1) if mirrored else picture[rows, columns]
        return np.asarray(cv2.resize(np.ascontiguousarray(part), size, interpolation=how), np.uint8)

    opacity = cv2.blur(cut(piece.mask * np.uint8(255)), (3, 3))
    return cut(piece.picture), np.asarray(opacity, np.uint8)


def _slimmer(rng: np.random.Generator) -> tuple[float, float]:
    """What is left of width and height."""
    share = exp(-rng.uniform(log(_SLIMMER[0]), log(_SLIMMER[1])))
    return (share, 1.0) if rng.random() < _UPRIGHT else (1.0, share)
