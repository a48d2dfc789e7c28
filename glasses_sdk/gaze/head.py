"""Gaze from the pose of the head alone: one looks where one's nose points, more or less.

Plane       0 to 1 of the sensor's width and height. The camera turns with the head, so the forward
            ray is always its middle, (0.5, 0.5)
Clock       of the poses: the publisher's monotonic clock, or their arrival
Confidence  0.6 while the head rests, the least that counts by default: eyes reach 15 degrees to
            each side of it; 0.2 while it turns, for then what passes the middle is not meant
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import hypot, radians
from typing import Self

from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, Named
from glasses_sdk.turning import turn_angle
from glasses_sdk.types import Gaze, HeadPose

__all__ = ["Head"]

_RESTS, _TURNS = 0.6, 0.2  # the confidence
_RESTING = radians(20)  # a second: slower than this the head rests
_SPAN_NS = 20_000_000  # poses that come together say nothing of how fast it turns


class Head:
    """A `GazeSource` from poses of `g1.in.head.<name>`; `name` None takes everybody's."""

    def __init__(
        self,
        name: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        self._named = Named(name, clock)
        self._guard = Guard(clock, max_age_ms, eyes=False)
        self._before: HeadPose | None = None
        self._turning = 0.0  # rad/s, when it was last measured
        self._waiting: list[Gaze] = []

    def push(self, name: str, pose: HeadPose) -> None:
        """A pose arrived."""
        if self._named.takes(name):
            confidence = _RESTS if self._rate(pose) < _RESTING else _TURNS
            self._waiting.append(Gaze(pose.time_ns, 0.5, 0.5, confidence))

    def read(self) -> Sequence[Gaze]:
        fresh, self._waiting = self._waiting, []
        return self._guard.admit_all(fresh)

    @property
    def reason(self) -> str | None:
        return self._guard.reason or self._named.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def _rate(self, pose: HeadPose) -> float:
        """How fast it turns, in rad/s: as measured, else since a pose that is 20 ms older."""
        if pose.angular_rate is not None:
            return hypot(*pose.angular_rate)
        before = self._before
        span_ns = pose.time_ns - before.time_ns if before else 0
        if before is None or span_ns < 0:
            self._before, self._turning = pose, 0.0
        elif span_ns >= _SPAN_NS:
            angle = turn_angle(before.orientation, pose.orientation)
            self._before, self._turning = pose, angle / (span_ns / 1e9)
        return self._turning
