"""What sources that know how the head turns stand on: quaternions, and the poses that wait.

Quaternions are (x, y, z, w); as an orientation they take directions of a frame to the world's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import cos, hypot, isfinite, sin

from glasses_sdk.turning import Leaps, Quaternion
from glasses_sdk.types import HeadPose

__all__ = ["Poses", "Vector", "combined", "conjugate", "rotated", "turned"]

Vector = tuple[float, float, float]

_AHEAD_NS = 100_000_000
_SECOND_NS = 1_000_000_000
_TOO_OLD_NS = 2 * _SECOND_NS
_LEAP = "head-leap: a head pose is dropped that no head can have come to since the one before"


def combined(p: Quaternion, q: Quaternion) -> Quaternion:
    """p q: first q, then p."""
    x, y, z, w = p
    a, b, c, d = q
    return (
        w * a + x * d + y * c - z * b,
        w * b - x * c + y * d + z * a,
        w * c + x * b - y * a + z * d,
        w * d - x * a - y * b - z * c,
    )


def conjugate(q: Quaternion) -> Quaternion:
    """The turn back, of a unit quaternion."""
    return -q[0], -q[1], -q[2], q[3]


def turned(vector: Vector) -> Quaternion:
    """The turn about this vector, by its length in radians."""
    angle = hypot(*vector)
    share = sin(angle / 2) / angle if angle else 0.5
    x, y, z = (share * part for part in vector)
    return x, y, z, cos(angle / 2)


def rotated(q: Quaternion, vector: Vector) -> Vector:
    """q v q*"""
    x, y, z, _ = combined(combined(q, (*vector, 0.0)), conjugate(q))
    return x, y, z


class Poses:
    """The poses that have come and were not asked for yet; what makes no sense does not come in.

    clock  now, in monotonic ns
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._newest_ns: int | None = None
        self._leaps = Leaps()
        self._waiting: deque[HeadPose] = deque(maxlen=1024)  # whoever never asks keeps no more
        self._fault = ""
        self._fault_ns = -_SECOND_NS

    @property
    def reason(self) -> str | None:
        """Why a pose of the last second was dropped, `code: sentence`; None when all is well."""
        return self._fault if self._clock() - self._fault_ns < _SECOND_NS else None

    def add(self, time_ns: int, orientation: Quaternion, rate: Vector | None) -> None:
        """A pose came; dropped where it is no number, out of order, far from now or a leap."""
        now = self._clock()
        length = hypot(*orientation)
        if fault := self._wrong(now - time_ns, time_ns, length, rate):
            self._fault, self._fault_ns = fault, now
            return
        x, y, z, w = (part / length for part in orientation)
        pose = HeadPose(time_ns, (x, y, z, w), rate)
        self._newest_ns = time_ns
        if self._leaps.takes(pose):
            self._waiting.append(pose)
        else:
            self._fault, self._fault_ns = _LEAP, now

    def _wrong(self, age_ns: int, time_ns: int, length: float, rate: Vector | None) -> str | None:
        if not all(map(isfinite, rate or ())) or not 0.98 < length < 1.02:  # nor for NaN
            return "head-malformed: a head pose is dropped that is no unit quaternion or rate"
        if not -_AHEAD_NS <= age_ns <= _TOO_OLD_NS:
            where = "old" if age_ns > 0 else "in the future"
            return (
                f"head-late: head poses are dropped that are {abs(age_ns) / 1e9:.0f} s {where}; "
                "send the publisher's clock, or 0 for their arrival"
            )
        if self._newest_ns is not None and time_ns <= self._newest_ns:
            return "head-unsorted: head poses come twice or out of order; the later are dropped"
        return None

    def take(self) -> Sequence[HeadPose]:
        """Those since the last call, oldest first."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]
