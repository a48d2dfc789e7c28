"""Privacy level `coarse`: the region says where an object is, not how the eye moves over it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from glasses_sdk.geometry import mask_box
from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["Coarse", "drawn_on", "snapped"]


class Coarse:
    """Keeps the region of a track while its object stays inside; a new one lies on the grid."""

    def __init__(self) -> None:
        self._region: Roi | None = None
        self._track = 0
        self._sensor: Size | None = None

    def __call__(self, mask: Mask) -> Mask:
        """The same object, drawn on the region that may be told."""
        if self._region is None or not self._stays(mask, self._region):
            self._region = snapped(mask.roi, mask.sensor)
            self._track, self._sensor = mask.track, mask.sensor
        return drawn_on(mask, self._region)

    def _stays(self, mask: Mask, region: Roi) -> bool:
        if (mask.track, mask.sensor) != (self._track, self._sensor):
            return False
        box = mask_box(mask.bits, mask.roi)
        return box is None or _holds(region, box)


def _holds(region: Roi, box: Roi) -> bool:
    return (
        region.left <= box.left
        and region.top <= box.top
        and region.right >= box.right
        and region.bottom >= box.bottom
    )


def snapped(roi: Roi, sensor: Size) -> Roi:
    """Grown outward to the grid of 1/16 of the sensor's shorter side, whole pixels, inside it."""
    step = min(sensor.width, sensor.height) / 16
    left, right = _snap(roi.left, roi.right, step, sensor.width)
    top, bottom = _snap(roi.top, roi.bottom, step, sensor.height)
    return Roi(left, top, right - left, bottom - top)


def _snap(low: float, high: float, step: float, length: int) -> tuple[int, int]:
    first = floor(floor(low / step) * step)
    last = ceil(ceil(high / step) * step)
    return max(first, 0), min(last, length)


def drawn_on(mask: Mask, region: Roi) -> Mask:
    """The mask with as many cells over another region: each takes what lies under its centre.

    What lies outside the mask's own region is background.
    """
    if region == mask.roi:
        return mask
    height, width = mask.bits.shape
    columns = _under(width, region.left, region.width, mask.roi.left, mask.roi.width)
    rows = _under(height, region.top, region.height, mask.roi.top, mask.roi.height)
    return replace(mask, bits=_pick(mask.bits, rows, columns), roi=region)


def _under(
    cells: int, start: float, length: float, own_start: float, own_length: float
) -> npt.NDArray[np.intp]:
    """The mask's own cell under each new cell's centre; `cells` where there is none."""
    centres = start + (np.arange(cells) + 0.5) * (length / cells)
    own = np.floor((centres - own_start) * (cells / own_length)).astype(np.intp)
    return np.where((own >= 0) & (own < cells), own, cells)


def _pick(bits: Bits, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Bits:
    framed = np.pad(bits, ((0, 1), (0, 1)))
    return framed[np.ix_(rows, columns)]
