"""The first regions after a look: which sizes are tried, and which of them showed the object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import numpy as np

from glasses_sdk.geometry import alike, off_middle
from glasses_sdk.landing import Trial, expected_ious
from glasses_sdk.sighting import Sighting
from glasses_sdk.types import Mask, Roi

__all__ = ["Trials"]

_ASKED = 0.4  # IoU from which a mask is of the region asked for
_APART_NS = 10_000_000  # exposures are further apart than that
_LATE_NS = 50_000_000  # a mask that is missing still by then has been lost on its way
_GRAINED = 0.3  # IoU that a trial gains by being e times larger, where e times more is wanted
_OFF_MIDDLE = 0.3  # IoU that a trial loses for looks that lie a whole side beside it
_REFUSED = 0.1  # IoU that a trial loses by being as large as what is doubted
_SAME_SIZE = 0.5  # IoU of two boxes, one laid over the other


class _Asked(NamedTuple):
    roi: Roi
    first_ns: int  # the exposure that it was asked for first
    last_ns: int


class Trials:
    """Sizes to try around the point looked at.

    Each is asked for at an exposure of its own, whether the mask of the one before has come or not:
    a sensor may be slow. So masks are known by their regions, and what is missing is asked for
    again.

    sides    of the regions, in sensor pixels
    doubted  what was taken for the object so far, and may be something else
    against  what is said against that and all of its size, as IoU
    """

    def __init__(
        self, sides: Sequence[float], doubted: Sighting | None = None, against: float = 0.0
    ) -> None:
        self.doubted = _trial(doubted) if doubted else None
        self._refused = _REFUSED + against
        self._seen: list[Trial] = []
        self._missing = list(sides)
        self._asked: dict[float, _Asked] = {}  # by side
        self._newest_ns: int | None = None  # of the masks that have come

    @property
    def first(self) -> float:
        """The first of the sides whose mask has not come."""
        return self._missing[0]

    @property
    def done(self) -> bool:
        return not self._missing

    @property
    def candidates(self) -> list[Trial]:
        """What may be the object, oldest first; none where nothing was seen."""
        return [self.doubted, *self._seen] if self.doubted and self._seen else self._seen

    def side(self, time_ns: int) -> float:
        """Of the region for the picture taken then."""
        due = [side for side in self._missing if not self._is_awaited(side, time_ns)]
        return due[0] if due else self._missing[-1]

    def ask(self, side: float, roi: Roi, time_ns: int) -> None:
        """This region was asked for, for the picture taken then."""
        before = self._asked.get(side, _Asked(roi, time_ns, time_ns))
        same = time_ns - before.last_ns < _APART_NS
        self._asked[side] = _Asked(roi, before.first_ns, before.last_ns if same else time_ns)

    def see(self, mask: Mask, seen: Sighting | None) -> None:
        """A mask has come, with the object that is in it, or none."""
        self._newest_ns = mask.time_ns
        side = self._shown(mask)
        if side is None:
            return
        self._missing.remove(side)
        if seen is not None:
            self._seen.append(_trial(seen))

    def best(
        self, grain: float, looked: Callable[[int], tuple[float, float] | None]
    ) -> Trial | None:
        """What looks most like the object, or rather less or more; None where nothing was seen.

        grain   times the object's size
        looked  the point at which the eyes were at a time
        """
        candidates = self.candidates
        if not candidates:
            return None
        promises = [
            iou + _GRAINED * log(grain) * log(trial.side) - self._against(trial, looked)
            for iou, trial in zip(expected_ious(candidates), candidates, strict=True)
        ]
        return candidates[int(np.argmax(promises))]

    def _is_awaited(self, side: float, time_ns: int) -> bool:
        """Whether it was asked for at an exposure before this one, and its mask may yet come."""
        asked = self._asked.get(side)
        if asked is None or time_ns - asked.last_ns < _APART_NS:
            return False
        return self._newest_ns is None or self._newest_ns < asked.last_ns + _LATE_NS

    def _shown(self, mask: Mask) -> float | None:
        """The missing size that it shows; None for one of a region before."""
        best, missing, side = max(
            (
                (alike(mask.roi, asked.roi), side in self._missing, side)
                for side, asked in self._asked.items()
                if mask.time_ns > asked.first_ns - _APART_NS
            ),
            default=(0.0, False, 0.0),
        )
        return side if missing and best >= _ASKED else None

    def _against(self, trial: Trial, looked: Callable[[int], tuple[float, float] | None]) -> float:
        """What the eyes and the past say against a trial, as IoU."""
        point = looked(trial.mask.time_ns)
        beside = min(off_middle(trial.box, point), 1.0) if point else 0.0
        return _OFF_MIDDLE * beside + self._refused * self._is_doubted(trial.box)

    def _is_doubted(self, box: Roi) -> bool:
        """Whether it has about the size of what is doubted."""
        if self.doubted is None:
            return False
        sizes = (Roi(0, 0, one.width, one.height) for one in (box, self.doubted.box))
        return alike(*sizes) > _SAME_SIZE


def _trial(seen: Sighting) -> Trial:
    roi, sensor = seen.mask.roi, seen.mask.sensor
    side = max(roi.width, roi.height) / min(sensor.width, sensor.height)
    return Trial(seen.mask, side, seen.whole)
