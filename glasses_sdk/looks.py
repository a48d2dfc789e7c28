"""Where the eyes have been since they landed."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

__all__ = ["Looks"]

_KEPT_NS = 250_000_000  # no mask is older that anybody waits for
_SET_BACK_NS = 1_000_000_000  # no look is late by as much
_REACH_NS = 100_000_000  # farther from a look nobody knows


class Looks:
    """The looks of one hold, in sensor pixels, each in the picture of its own time."""

    def __init__(self) -> None:
        self._times: deque[int] = deque()
        self._points: deque[tuple[float, float]] = deque()
        self._landed_ns: int | None = None

    @property
    def landed_ns(self) -> int | None:
        """When the hold began, as far as it is known; None before the first look."""
        return self._landed_ns

    def is_set_back(self, time_ns: int) -> bool:
        """Whether the clock has been set back since the newest look."""
        return bool(self._times) and time_ns < self._times[-1] - _SET_BACK_NS

    def add(self, time_ns: int, point: tuple[float, float], landed: bool) -> bool:
        """False where this look is older than the newest, and does not count.

        landed  the eyes have just arrived: what was before is over
        """
        if self._times and time_ns < self._times[-1]:
            return False
        if landed:
            self._times.clear()
            self._points.clear()
        if not self._times:
            self._landed_ns = time_ns
        self._times.append(time_ns)
        self._points.append(point)
        while time_ns - self._times[0] > _KEPT_NS:
            self._times.popleft()
            self._points.popleft()
        return True

    def at(self, time_ns: int) -> tuple[float, float] | None:
        """The point looked at then, between the looks before and after; None where none is near."""
        after = bisect_left(self._times, time_ns)
        if after == len(self._times):
            near = bool(self._times) and time_ns - self._times[-1] <= _REACH_NS
            return self._points[-1] if near else None
        if self._times[after] == time_ns:
            return self._points[after]
        if after == 0 or self._times[after] - self._times[after - 1] > _REACH_NS:
            return None
        return self._between(after - 1, after, time_ns)

    def _between(self, before: int, after: int, time_ns: int) -> tuple[float, float]:
        share = (time_ns - self._times[before]) / (self._times[after] - self._times[before])
        (x0, y0), (x1, y1) = self._points[before], self._points[after]
        return x0 + share * (x1 - x0), y0 + share * (y1 - y0)
