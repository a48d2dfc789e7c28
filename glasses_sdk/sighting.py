"""What a mask says of the object: which cells are it, its box, and where it goes on beyond them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

from glasses_sdk.geometry import mask_box
from glasses_sdk.landing import component_at, component_nearest
from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["Sighting", "sight"]

_GROW = 0.25  # of the region's side
_TOUCHING = 0.06  # of an edge's cells


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """An object in a mask, boxes in full-sensor pixels.

    mask         the cells of the object alone
    box          of these cells
    whole        the box, extended where the object runs into the region's edge inside the sensor
    open_across  it does so to the left or right
    open_down    above or below
    """

    mask: Mask
    box: Roi
    whole: Roi
    open_across: bool
    open_down: bool

    def reaches(self, x: float, y: float, distance: float) -> bool:
        """Whether a cell of the object lies about as near to (x, y), in full-sensor pixels."""
        roi, (rows, columns) = self.mask.roi, self.mask.bits.shape
        left, right = ((x + d - roi.left) / roi.width * columns for d in (-distance, distance))
        top, bottom = ((y + d - roi.top) / roi.height * rows for d in (-distance, distance))
        near = self.mask.bits[
            max(floor(top), 0) : max(ceil(bottom), 0), max(floor(left), 0) : max(ceil(right), 0)
        ]
        return bool(near.any())


def sight(mask: Mask, point: tuple[float, float], *, landing: bool = False) -> Sighting | None:
    """The object at `point`; None in an empty mask.

    landing  eyes have just come to `point`, and the nearest thing to it is meant; else it is the
             middle of what is followed, and the largest thing is that where nothing is there
    """
    component = component_nearest if landing else component_at
    bits = component(mask.bits, mask.roi, point)
    box = mask_box(bits, mask.roi)
    if box is None:
        return None
    left, top, right, bottom = _open_sides(bits, mask.roi, mask.sensor)
    x0 = max(box.left - _GROW * mask.roi.width * left, 0.0)
    y0 = max(box.top - _GROW * mask.roi.height * top, 0.0)
    x1 = min(box.right + _GROW * mask.roi.width * right, float(mask.sensor.width))
    y1 = min(box.bottom + _GROW * mask.roi.height * bottom, float(mask.sensor.height))
    whole = Roi(x0, y0, x1 - x0, y1 - y0)
    alone = mask if bits is mask.bits else replace(mask, bits=bits)
    return Sighting(alone, box, whole, left or right, top or bottom)


def _open_sides(bits: Bits, roi: Roi, sensor: Size) -> tuple[bool, bool, bool, bool]:
    """Where the mask runs into the region's edge, inside the sensor: left, top, right, bottom."""
    return (
        roi.left > 0 and _touches(bits[:, 0]),
        roi.top > 0 and _touches(bits[0]),
        roi.right < sensor.width and _touches(bits[:, -1]),
        roi.bottom < sensor.height and _touches(bits[-1]),
    )


def _touches(edge: Bits) -> bool:
    return edge.tobytes().count(1) > _TOUCHING * edge.size  # counted faster than averaged
