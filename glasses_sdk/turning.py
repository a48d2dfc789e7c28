"""Where things go in the picture when the head turns (numpy only).

Frames of reference: the head's, as in `HeadPose`: x right, y down, z forward; its orientation takes
directions of that frame to the world's. The camera sits on the head and looks along z, so that its
frame is the head's. Pictures in the pixel-centre convention, with square pixels and the optical
axis through the middle.

Only the turn counts, not the step: exact for what is far away, as far as the lens is a pinhole.
For a camera that turns about its own centre, x' ~ K R K^-1 x (Hartley and Zisserman, Multiple View
Geometry, 8.4.2).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import asin, cos, pi, radians, tan

import numpy as np

from glasses_sdk.types import HeadPose, Matrix, Size

__all__ = [
    "Leaps",
    "Quaternion",
    "Turns",
    "focal_px",
    "homography",
    "rotation",
    "turn",
    "turn_angle",
]

Quaternion = tuple[float, float, float, float]
"""(x, y, z, w) of about unit length, as `HeadPose.orientation`."""


def rotation(orientation: Quaternion) -> Matrix:
    """The 3 x 3 matrix from directions of the head's frame to the world's."""
    x, y, z, w = np.asarray(orientation) / np.linalg.norm(orientation)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def turn(before: Quaternion, after: Quaternion) -> Matrix:
    """The 3 x 3 matrix from a far thing's direction in the head's frame before to that after."""
    return rotation(after).T @ rotation(before)


def turn_angle(before: Quaternion, after: Quaternion) -> float:
    """By how much the head has turned, in radians, 0 to pi."""
    p, q = (np.asarray(one) / np.linalg.norm(one) for one in (before, after))
    chord = min(np.linalg.norm(p - q), np.linalg.norm(p + q))  # q and -q are the same orientation
    return 4 * asin(min(float(chord) / 2, 1.0))


def focal_px(sensor: Size, field_of_view_deg: float) -> float:
    """The focal length in pixels of a camera that sees so many degrees from left to right."""
    if not 0 < field_of_view_deg < 180:
        raise ValueError(f"a field of view lies in 0 to 180 degrees, not {field_of_view_deg}")
    return sensor.width / (2 * tan(radians(field_of_view_deg) / 2))


def homography(before: Quaternion, after: Quaternion, focal_px: float, sensor: Size) -> Matrix:
    """K R K^-1: the 3 x 3 matrix from a far thing's pixel in the picture before to that after.

    Apply it with `geometry.apply` to points that stay in sight.
    """
    if not focal_px > 0:
        raise ValueError(f"a focal length is above 0 pixels, not {focal_px}")
    x, y = sensor.width / 2 - 0.5, sensor.height / 2 - 0.5
    k = np.array([[focal_px, 0.0, x], [0.0, focal_px, y], [0.0, 0.0, 1.0]])
    return k @ turn(before, after) @ np.linalg.inv(k)


_LEAST_W = 0.02  # the cosine at which a thing is as good as beside the camera


class Leaps:
    """Finds poses where no head can have come: what a headset says that loses its way for a moment.

    A pose after one of these that agrees with it begins anew: the headset was recentred.
    """

    def __init__(self) -> None:
        self._last: HeadPose | None = None
        self._astray: HeadPose | None = None
        self.anew = True  # the newest one that counts does not go on from those before it

    def takes(self, pose: HeadPose) -> bool:
        """Whether it counts, which is newer than those before."""
        goes_on = self._last is not None and _can_follow(self._last, pose)
        agrees = self._astray is not None and _can_follow(self._astray, pose)
        if self._last is None or goes_on or agrees:
            self.anew = not goes_on
            self._last, self._astray = pose, None
            return True
        self._astray = pose
        return False


def _can_follow(before: HeadPose, after: HeadPose) -> bool:
    span_ns = max(after.time_ns - before.time_ns, _RATE_NS / 2)
    farthest = min(_FASTEST * span_ns / 1e9, pi)
    pairs = zip(before.orientation, after.orientation, strict=True)
    return abs(sum(p * q for p, q in pairs)) >= cos(farthest / 2)  # of half the angle between them


class Turns:
    """How the head has turned of late: carries points from the picture at one time to another's.

    Between two poses it turns evenly; after the newest it goes on as it did since the last pose
    that is 20 ms older, for `_AHEAD_NS`. Without poses nothing moves.
    """

    def __init__(self, sensor: Size, focal_px: float) -> None:
        self._sensor = sensor
        self._focal_px = focal_px
        self._times: deque[int] = deque()
        self._poses: deque[Quaternion] = deque()
        self._leaps = Leaps()

    def add(self, pose: HeadPose) -> None:
        """The newest pose. Older ones do not count, unless the clock was set back; nor does one
        where no head can have come, unless so does the next: then all begins anew.
        """
        if self._times and pose.time_ns <= self._times[-1]:
            if self._times[-1] - pose.time_ns < _KEPT_NS:
                return
            self._leaps = Leaps()
        if not self._leaps.takes(pose):
            return
        if self._leaps.anew:
            self._times.clear()
            self._poses.clear()
        self._times.append(pose.time_ns)
        self._poses.append(self._near_last(pose.orientation))
        while pose.time_ns - self._times[0] > _KEPT_NS:
            self._times.popleft()
            self._poses.popleft()

    def carry(self, point: tuple[float, float], from_ns: int, to_ns: int) -> tuple[float, float]:
        """Where in the picture at `to_ns` the thing is that is at `point` at `from_ns`.

        Far outside of the sensor where it has come to lie behind.
        """
        if len(self._times) < 2:
            return point
        before, after = self.at(from_ns), self.at(to_ns)
        if before == after:
            return point
        matrix = homography(before, after, self._focal_px, self._sensor)
        x, y, w = matrix @ (*point, 1.0)
        return (float(x / w), float(y / w)) if w > _LEAST_W else (_BEHIND_PX, _BEHIND_PX)

    def at(self, time_ns: int) -> Quaternion:
        """The orientation then; needs two poses."""
        newest = self._times[-1]
        if time_ns > newest:
            first = max(bisect_right(self._times, newest - _RATE_NS) - 1, 0)
            if newest - self._times[first] < _RATE_NS / 2:  # too short to tell a rate from
                return self._poses[-1]
            return self._between(first, -1, min(time_ns, newest + _AHEAD_NS))
        after = bisect_right(self._times, max(time_ns, self._times[0]))
        return self._between(after - 1, min(after, len(self._times) - 1), time_ns)

    def _between(self, first: int, second: int, time_ns: int) -> Quaternion:
        """On the line from one pose to the other, or on beyond it."""
        length = self._times[second] - self._times[first]
        share = max(time_ns - self._times[first], 0) / length if length else 0.0
        p, q = self._poses[first], self._poses[second]
        x, y, z, w = (a + share * (b - a) for a, b in zip(p, q, strict=True))
        return x, y, z, w

    def _near_last(self, q: Quaternion) -> Quaternion:
        """q and -q are the same orientation: the one on the side of the pose before."""
        if not self._poses or sum(a * b for a, b in zip(self._poses[-1], q, strict=True)) >= 0:
            return q
        x, y, z, w = q
        return -x, -y, -z, -w


_KEPT_NS = 1_000_000_000
_RATE_NS = 20_000_000
_FASTEST = radians(2000)  # a second: no head turns so fast
_AHEAD_NS = 100_000_000  # a head does not turn evenly for longer
_BEHIND_PX = 1e6
