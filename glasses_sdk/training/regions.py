"""Where a training sample looks: the region around, or beside, an object.

Six kinds, so that a network survives an imprecise region:

    square   the object's padded box made square, off by a little (the published form)
    tight    the same box as it is, to be stretched (the object's own proportions)
    look     centred anywhere on the object, of a size wrong by 0.25 to 3: what the first frame
             after a look sees; a network that knows boxes alone learns that the object fills five
             sixths of any region, and the servo then shrinks onto a part
    led      where a tracker comes to that follows a network's masks: where they flow over onto a
             neighbour, the next region holds both. What is learnt on one's own mistakes does not
             repeat them (Ross et al., AISTATS 2011: train on the states that the policy reaches)
    native   one cell is one pixel, centred on the object's middle or beside it (PicoSAM2's form)
    nothing  no object at the centre: the answer is an empty mask
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, log

import numpy as np
import numpy.typing as npt

from glasses_sdk.crop import Picture, crop
from glasses_sdk.geometry import holding, padded, square, visible
from glasses_sdk.network import Network
from glasses_sdk.sighting import sight
from glasses_sdk.types import Mask, Roi, Size

__all__ = ["RegionMix", "around_background", "around_object", "led"]

Bitmap = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RegionMix:
    """Shares of the kinds; what is left of 1 is `nothing`.

    first_looks  of the led ones, how many more stay where they began: the first region after a look
    """

    square: float = 1 / 3
    tight: float = 1 / 3
    look: float = 1 / 4
    led: float = 0.0
    native: float = 0.0
    padding: float = 0.1
    max_box_error: float = 0.2
    size_error: tuple[float, float] = (0.25, 3.0)
    first_looks: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < sum(share for _, share in self._shares()) <= 1:
            raise ValueError(f"the shares of {self} do not fit into 1")

    def kind(self, draw: float) -> str:
        """The kind that a uniform number in 0 to 1 stands for."""
        for name, share in self._shares():
            if draw < share:
                return name
            draw -= share
        return "nothing"

    def _shares(self) -> list[tuple[str, float]]:
        names = ("square", "tight", "look", "led", "native")
        return [(name, getattr(self, name)) for name in names]


def around_object(
    kind: str, box: Roi, mask: Bitmap, mix: RegionMix, rng: np.random.Generator
) -> Roi:
    """A region of this kind for the object with this box and mask [H, W]."""
    if kind == "look":
        return _from_a_look(box, mask, mix, rng)
    if kind == "native":
        return _native(box, mask, rng)
    region = padded(_misjudged(box, mix.max_box_error * rng.random(), rng), mix.padding)
    return square(region) if kind == "square" else region


def _misjudged(box: Roi, error: float, rng: np.random.Generator) -> Roi:
    """The box with the papers' error: corner by U(-s/2, s/2), sides by 1 + N(0, s/2)."""
    x, y = rng.uniform(-error / 2, error / 2, 2)
    w, h = np.maximum(1 + rng.normal(0, error / 2, 2), 0.3)
    return Roi(box.left + x * box.width, box.top + y * box.height, box.width * w, box.height * h)


def _from_a_look(box: Roi, mask: Bitmap, mix: RegionMix, rng: np.random.Generator) -> Roi:
    x, y = _a_pixel(mask, box, rng)
    low, high = (log(size) for size in mix.size_error)
    side = max(box.width, box.height) * (1 + 2 * mix.padding) * exp(rng.uniform(low, high))
    stretch = exp(rng.uniform(-0.35, 0.35))
    return Roi.around(x, y, max(side * stretch, 8.0), max(side / stretch, 8.0))


def _native(box: Roi, mask: Bitmap, rng: np.random.Generator) -> Roi:
    """96 pixels a side around the box's middle, or around any pixel where that misses."""
    x, y = box.centre
    row, column = min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)
    if not mask[row, column] or rng.random() < 0.3:
        x, y = _a_pixel(mask, box, rng)
    return Roi.around(x, y, _NATIVE, _NATIVE)


_NATIVE = 96.0


def led(
    picture: Picture,
    mask: Bitmap,
    box: Roi,
    network: Network,
    rng: np.random.Generator,
    first_looks: float = 0.0,
) -> Roi:
    """A region as a tracker comes to it that means the object with this mask [H, W] and box.

    It begins around a point of the object, or with about its box, and follows the network's masks
    through none to five pictures, as long as the object can still be what is meant. Half of them go
    on being looked at there, the other half have their masks alone.
    """
    frame = Size(picture.shape[1], picture.shape[0])
    point = min(
        (_a_pixel(mask, box, rng) for _ in range(3)),
        key=lambda at: abs(at[0] - box.centre[0]) + abs(at[1] - box.centre[1]),
    )
    region = _begun(point, box, frame, rng)
    looked = point if rng.random() < 0.5 else None
    at_once = first_looks and rng.random() < first_looks
    for _ in range(0 if at_once else int(rng.integers(6))):
        after = _followed(picture, region, looked, network, rng)
        if after is None or not _means(after, mask, box):
            break
        region = after
    return region


def _begun(point: tuple[float, float], box: Roi, frame: Size, rng: np.random.Generator) -> Roi:
    """Around the point looked at, of one of four sizes, or around the object."""
    if rng.random() < 0.4:
        width, height = 1.2 * np.exp(rng.normal(0, 0.2, 2)) * (box.width, box.height)
        x, y = np.array(box.centre) + rng.normal(0, 0.08, 2) * (width, height)
        return Roi.around(float(x), float(y), max(float(width), 8.0), max(float(height), 8.0))
    share = 0.9 * 0.6 ** int(rng.integers(4)) * exp(rng.normal(0, 0.2))
    side = share * min(frame.width, frame.height)
    return Roi.around(*point, side, side)


def _followed(
    picture: Picture,
    region: Roi,
    point: tuple[float, float] | None,
    network: Network,
    rng: np.random.Generator,
) -> Roi | None:
    """The region after this one: around its mask, and the point looked at, a little beside it."""
    frame = Size(picture.shape[1], picture.shape[0])
    roi = visible(region, frame)
    if roi is None:
        return None
    found = network.segment(crop(picture, roi, network.input))
    seen = sight(Mask(found.bits, roi, frame, 0, 0, found.score), point or region.centre)
    if seen is None:
        return None
    held = seen.whole
    if point:
        held = holding(held, *point, 0.2 * min(held.width, held.height))
    held = padded(held, rng.uniform(0.05, 0.25))
    x, y = rng.normal(0, 0.06, 2)
    return replace(held, left=held.left + x * held.width, top=held.top + y * held.height)


def _means(region: Roi, mask: Bitmap, box: Roi) -> bool:
    """Whether the object can be meant: the region's middle lies in its box, and enough is there."""
    roi = visible(region, Size(mask.shape[1], mask.shape[0]))
    if roi is None:
        return False
    x, y = roi.centre
    if not (box.left <= x <= box.right and box.top <= y <= box.bottom):
        return False
    inside = mask[int(roi.top) : int(roi.bottom), int(roi.left) : int(roi.right)]
    return bool(np.count_nonzero(inside) >= 0.2 * np.count_nonzero(mask))


def around_background(
    objects: Bitmap, sides: tuple[float, float], rng: np.random.Generator
) -> Roi | None:
    """A region whose middle shows none of `objects` [H, W]; None where there is no such place.

    `sides` bound the region's side as shares of the picture's shorter side.
    """
    height, width = objects.shape
    size = Size(width, height)
    for _ in range(8):
        x, y = rng.uniform(0, size.width), rng.uniform(0, size.height)
        side = min(height, width) * exp(rng.uniform(log(sides[0]), log(sides[1])))
        margin = 0.08 * side
        near = objects[
            max(int(y - margin), 0) : int(y + margin) + 1,
            max(int(x - margin), 0) : int(x + margin) + 1,
        ]
        if not near.any():
            return Roi.around(x, y, side, side)
    return None


def _a_pixel(mask: Bitmap, box: Roi, rng: np.random.Generator) -> tuple[float, float]:
    """The middle of any of the mask's pixels in its box; of any at all where the box is wrong."""
    left, top = max(int(box.left), 0), max(int(box.top), 0)
    part = mask[top : ceil(box.bottom), left : ceil(box.right)]
    if not part.any():
        left, top, part = 0, 0, mask
    pixels = np.flatnonzero(part)
    row, column = divmod(int(pixels[rng.integers(pixels.size)]), part.shape[1])
    return left + column + 0.5, top + row + 0.5
