"""Regions as the chip wants them.

The driver's control takes four unsigned integers and cuts each at its own limit; picamera2 cuts at
the sensor's edges, and takes a region outside of it for the whole sensor. So what is asked for here
is what those two leave alone: then it is known what is in effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from glasses_sdk.types import Roi, Size

__all__ = ["Chip"]

_EVEN = 2  # the Bayer pattern's period
_CONTROL_MOST = 4032  # the driver's largest value of each of the control's four numbers


@dataclass(frozen=True, slots=True)
class Chip:
    """size: of the full sensor, even; least: smallest region, the network's own input, for the chip
    is not known to enlarge.
    """

    size: Size
    least: Size

    def fit(self, roi: Roi) -> Roi | None:
        """The even region that holds what `roi` shares with the sensor; None: they share nothing.

        One that is too small grows about its middle, and is moved inside where that crosses an
        edge; one that is larger than the control can say is cut about its middle.
        """
        across = _fit(roi.left, roi.right, self.size.width, self.least.width)
        down = _fit(roi.top, roi.bottom, self.size.height, self.least.height)
        if across is None or down is None:
            return None
        return Roi(across[0], down[0], across[1], down[1])

    @property
    def whole(self) -> Roi:
        """As much of the sensor as a region can be."""
        fitted = self.fit(Roi(0, 0, self.size.width, self.size.height))
        assert fitted is not None
        return fitted


def _fit(low: float, high: float, side: int, least: int) -> tuple[int, int] | None:
    """Where a region begins along one side of the sensor, and its length."""
    low, high = max(low, 0.0), min(high, float(side))
    if low >= high:
        return None
    start, stop = _even(floor(low), down=True), _even(ceil(high), down=False)
    length = max(stop - start, _even(least, down=False))
    length = min(length, _even(min(_CONTROL_MOST, side), down=True))
    middle = (start + stop) // 2
    first = start if length == stop - start else _even(middle - length // 2, down=True)
    return min(max(first, 0), side - length), length


def _even(value: int, *, down: bool) -> int:
    return value - value % _EVEN if down else value + value % _EVEN
