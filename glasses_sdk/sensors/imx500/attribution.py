"""Which region made this tensor? The camera's metadata does not say; its frames' numbers do.

A region that is set while frame k is the newest to have begun is in effect from frame k + 1 + lag
on. The lag is measured once (`glasses calibrate latency roi`) and is never more than `most_frames`.
So a mask is certain once so many frames have passed since the last move, and so is one whose frame
had begun before the next; in between it carries the region that the measured lag makes the most
probable.
"""

from __future__ import annotations

from collections import deque
from math import floor
from typing import NamedTuple

from glasses_sdk.types import Roi

__all__ = ["Attribution", "Cadence"]

_COUNTS = 256  # the network's own frame count has eight bits
_ASTRAY = 1.5  # frames that count and clock may differ by: a tensor can come with the next frame
_EASE = 0.05  # how much one frame says about the period
_MARGIN = 0.1  # of a period, by which the frames' times may be off


class _Move(NamedTuple):
    frame: int  # the newest that may have begun when the region was set
    before: int  # the newest that had begun for sure
    region: Roi
    tried: bool


class Attribution:
    """Regions by frame number. `region` is what is in effect before the first move."""

    def __init__(self, region: Roi, lag_frames: int, most_frames: int) -> None:
        self._lag = lag_frames
        self._most = most_frames
        self._moves = deque([_Move(-(2**62), -(2**62), region, False)])

    @property
    def newest(self) -> Roi:
        """The region set last, whether it is in effect or not."""
        return self._moves[-1].region

    def moved(self, region: Roi, frame: int, before: int, tried: bool = False) -> None:
        """This region was set while `frame` was the newest that may have begun, and `before` the
        newest that had for sure.

        `tried`: it shows something else than the one before. Its first certain mask is not taken
        for it yet: whoever aims has not seen that, and a wrong size or place is left at once.
        """
        self._moves.append(_Move(frame, before, region, tried))

    def shown(self, frame: int) -> tuple[Roi, bool]:
        """The region that this frame shows, and whether that is certain and what is aimed at.

        Frames come in order: what is older than this one is forgotten.
        """
        while len(self._moves) > 1 and self._reaches(self._moves[1], frame):
            self._moves.popleft()
        probable, *newer = self._moves
        waited = frame - probable.frame - self._most > probable.tried
        still = all(frame <= move.before and not move.tried for move in newer)
        return probable.region, waited and still

    def _reaches(self, move: _Move, frame: int) -> bool:
        return frame > move.frame + self._lag


class Cadence:
    """Numbers frames by the network's own count, which wraps, and by the sensor's timestamps.

    The first is 0. Times are on one clock, in ns; a frame's is the start of its readout.
    """

    def __init__(self, period_ns: int) -> None:
        self._period = float(period_ns)
        self._last: tuple[int, int, int] | None = None  # number, time, count

    @property
    def period_ns(self) -> int:
        return round(self._period)

    def number(self, time_ns: int, count: int) -> int | None:
        """The frame that a tensor shows, which came with metadata of this time.

        None for one that cannot be placed: older than the last, given already, or with a count
        that the clock contradicts.
        """
        if self._last is None:
            self._last = 0, time_ns, count
            return 0
        number, before_ns, before = self._last
        passed = (time_ns - before_ns) / self._period
        counted = (count - before) % _COUNTS
        steps = counted + _COUNTS * round((passed - counted) / _COUNTS)
        if steps <= 0 or abs(passed - steps) > _ASTRAY:
            return None
        if abs(passed - steps) < 0.5:
            self._period += _EASE * ((time_ns - before_ns) / steps - self._period)
        else:  # it came with another frame's metadata: its own time was earlier or later
            time_ns = before_ns + round(steps * self._period)
        self._last = number + steps, time_ns, count
        return number + steps

    def begun(self, time_ns: int) -> int:
        """The newest frame whose readout had begun by then; one too many rather than too few."""
        return self._begun(time_ns, _MARGIN)

    def surely_begun(self, time_ns: int) -> int:
        """The same; one too few rather than too many."""
        return self._begun(time_ns, -_MARGIN)

    def _begun(self, time_ns: int, margin: float) -> int:
        if self._last is None:
            return -1
        number, last_ns, _ = self._last
        return number + floor((time_ns - last_ns) / self._period + margin)

    def starts_ns(self, number: int) -> int:
        """When a frame's readout starts, or started."""
        if self._last is None:
            raise ValueError("no frame has been seen yet")
        last, last_ns, _ = self._last
        return last_ns + round((number - last) * self._period)
