"""Whether the eyes move with what is followed.

Eyes that hold a thing pursue it as it moves, so that what they look at shows in how it moves
(Vidal, Bulling & Gellersen, Pursuits, UbiComp 2013). A point looked at that slides over what the
masks show is on something else, in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, hypot

__all__ = ["Sliding"]

_MEMORY_S = 0.5  # how long what was seen of it counts
_APART_S = 0.2  # masks farther apart say nothing of what lies between


@dataclass(frozen=True, slots=True)
class _Offset:
    """Of the point looked at from the object's middle, in sensor pixels."""

    x: float
    y: float
    time_ns: int
    landed_ns: int | None


class Sliding:
    """How fast the point looked at moves over the object, its leaps to other parts left out."""

    def __init__(self) -> None:
        self._x, self._y = 0.0, 0.0  # velocity, pixels a second
        self._before: _Offset | None = None

    @property
    def speed(self) -> float:
        """Of its mean velocity in the last time, in sensor pixels a second."""
        return hypot(self._x, self._y)

    def note(
        self,
        point: tuple[float, float],
        middle: tuple[float, float],
        time_ns: int,
        landed_ns: int | None,
    ) -> None:
        """The point looked at and the object's middle when a mask was taken, in sensor pixels.

        landed_ns  when the eyes came to that point: another time is another leap
        """
        before = self._before
        now = _Offset(point[0] - middle[0], point[1] - middle[1], time_ns, landed_ns)
        self._before = now
        if before is None or before.landed_ns != landed_ns:
            return
        passed_s = (time_ns - before.time_ns) / 1e9
        if 0 < passed_s < _APART_S:
            share = 1 - exp(-passed_s / _MEMORY_S)
            self._x += share * ((now.x - before.x) / passed_s - self._x)
            self._y += share * ((now.y - before.y) / passed_s - self._y)
