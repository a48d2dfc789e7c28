"""When to leave the region alone, and how to set one that can be left alone for long.

A move costs masks: for some frames nobody knows which region they show. So the longer a new region
takes to be certain, the further the one that is set may be off, and one that follows something
moving is set ahead of it.
"""

from __future__ import annotations

from collections import deque

from glasses_sdk.geometry import alike, overlap
from glasses_sdk.types import Roi

__all__ = ["Rest", "is_elsewhere", "jumps"]

_REACH = 0.02  # of a side, for each frame that a move costs: how far an edge may lie inside
_NOISE = 0.16  # of a side: how much further outside, for the region wanted breathes
_URGENT = 0.03  # of a side: so much further inside, and a fast object leaves the region
_ROOM = 0.03  # of a side: what a region shows more than wanted, on each side
_SOMETHING_ELSE = 0.35  # intersection over union below which a region shows something else
_ELSEWHERE = 0.5  # of the smaller of two regions: what they share less of are other places
_LEAD_NS = 1_000_000_000  # a region is set where the object will be then, if that is in reach
_LOOK_BACK_NS = 500_000_000


class Rest:
    """`cost`: of a move, in frames without a certain mask."""

    def __init__(self, cost: int) -> None:
        self._reach = _REACH * cost
        self._wanted: deque[tuple[int, Roi]] = deque()

    def note(self, wanted: Roi, time_ns: int) -> None:
        """This region was wanted then; one that shows something else begins anew."""
        if self._wanted and jumps(self._wanted[-1][1], wanted):
            self._wanted.clear()
        self._wanted.append((time_ns, wanted))
        while time_ns - self._wanted[0][0] > _LOOK_BACK_NS:
            self._wanted.popleft()

    def holds(self, there: Roi, wanted: Roi) -> bool:
        """Whether the region that is there still does for the one wanted."""
        outside = _outside(there, wanted)
        return min(outside) >= -self._reach and max(outside) <= self._reach + _NOISE

    def hurries(self, there: Roi, wanted: Roi) -> bool:
        """Whether the region wanted should not be kept waiting."""
        inside = -min(_outside(there, wanted))
        return inside > self._reach + _URGENT or jumps(there, wanted)

    def ahead(self) -> Roi:
        """What to set for the newest region wanted: a little larger, and ahead of it in reach.

        After a jump just that region: nobody knows yet how it moves.
        """
        if len(self._wanted) == 1:
            return self._wanted[0][1]
        (then_ns, then), (now_ns, now) = self._wanted[0], self._wanted[-1]
        share = _LEAD_NS / max(now_ns - then_ns, _LOOK_BACK_NS)
        (x, y), (u, v) = then.centre, now.centre
        return Roi.around(
            u + _clip(share * (u - x), self._reach * now.width),
            v + _clip(share * (v - y), self._reach * now.height),
            now.width * (1 + 2 * _ROOM),
            now.height * (1 + 2 * _ROOM),
        )


def _outside(there: Roi, wanted: Roi) -> tuple[float, float, float, float]:
    """How far each edge lies outside of where it is wanted, in sides."""
    x, y = wanted.width, wanted.height
    return (
        (wanted.left - there.left) / x,
        (there.right - wanted.right) / x,
        (wanted.top - there.top) / y,
        (there.bottom - wanted.bottom) / y,
    )


def jumps(there: Roi, wanted: Roi) -> bool:
    """Whether the region wanted shows something else."""
    return alike(there, wanted) < _SOMETHING_ELSE


def is_elsewhere(there: Roi, wanted: Roi) -> bool:
    """Whether it lies in another place; one of another size in the same place does not."""
    return overlap(there, wanted) < _ELSEWHERE


def _clip(value: float, most: float) -> float:
    return min(max(value, -most), most)
