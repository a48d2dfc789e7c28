"""What sources that know how the head turns stand on: quaternions, and the poses that wait.

Quaternions are (x, y, z, w); as an orientation they take directions of a frame to the world's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import cos, hypot, isfinite, sin

from glasses_sdk.turning import Quaternion
from glasses_sdk.types import HeadPose

__all__ = ["Poses", "Vector", "combined", "conjugate", "rotated", "turned"]

Vector = tuple[float, float, float]

_AHEAD_NS = 100_000_000
_TOO_OLD_NS = 2_000_000_000


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
        self._waiting: deque[HeadPose] = deque(maxlen=1024)  # whoever never asks keeps no more

    def add(self, time_ns: int, orientation: Quaternion, rate: Vector | None) -> None:
        """A pose came; dropped where it is no number, out of order or far from now."""
        if not all(map(isfinite, (*orientation, *(rate or ())))):
            return
        if not -_AHEAD_NS <= self._clock() - time_ns <= _TOO_OLD_NS:
            return
        if self._newest_ns is not None and time_ns <= self._newest_ns:
            return
        length = hypot(*orientation)
        if not 0.98 < length < 1.02:
            return
        x, y, z, w = (part / length for part in orientation)
        self._waiting.append(HeadPose(time_ns, (x, y, z, w), rate))
        self._newest_ns = time_ns

    def take(self) -> Sequence[HeadPose]:
        """Those since the last call, oldest first."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]
