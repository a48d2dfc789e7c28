"""Which region made this tensor? The camera's metadata does not say; its frames' numbers do.

A region that is set while frame k is the newest to have begun is in effect from frame k + 1 + lag
on. The lag is measured once (`glasses calibrate latency roi`) and is never more than `most_frames`.
So a mask is certain once so many frames have passed since the last move, and so is one whose frame
had begun before the next; in between it carries the region that the measured lag makes the most
probable. Where the next has little in common with it, it showed too much, too little or something
else: its masks are settling from then on, though there is no doubt of their region.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import floor
from statistics import fmean
from typing import NamedTuple

from glasses_sdk.geometry import alike
from glasses_sdk.types import Roi

__all__ = ["Attribution", "Cadence"]

_IN_COMMON = 0.5  # intersection over union of a region and of one that only moves it on
_COUNTS = 256  # the network's own frame count has eight bits
_ASTRAY = 1.5  # frames that count and clock may differ by: a tensor can come with the next frame
_EASE = 0.05  # how much one frame says about the period
_MARGIN = 0.1  # of a period, by which the frames' times may be off
_ARRIVES = 2.0  # frames after its readout began, and as many more or less
_SURE = 4  # frames that agree
_COUNT_LOST = 16  # tensors are not late so often in a row
_SHORTEST_NS = 2_000_000  # a period


class _Move(NamedTuple):
    frame: int  # the newest that may have begun when the region was set
    before: int  # the newest that had begun for sure
    region: Roi
    tried: bool


class _Numbered(NamedTuple):
    number: int
    time_ns: int
    told: int  # the network's own count
    known: bool  # its time is its own, another frame agrees


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

        `tried`: it shows something else than the one before. Its first certain mask is not called
        so yet: whoever aims has not seen that, and a wrong size or place is left at once.
        """
        self._moves.append(_Move(frame, before, region, tried))

    def lost(self, frame: int) -> None:
        """Frames are numbered anew from this one on: before or after the last move, who knows."""
        self._moves = deque([_Move(frame, frame, self.newest, False)])

    def shown(self, frame: int) -> tuple[Roi, bool]:
        """The region that this frame shows, and whether that is certain and what is aimed at.

        Frames come in order: what is older than this one is forgotten.
        """
        while len(self._moves) > 1 and self._reaches(self._moves[1], frame):
            self._moves.popleft()
        probable, *newer = self._moves
        waited = frame - probable.frame - self._most > probable.tried
        still = all(
            frame <= move.before and alike(probable.region, move.region) >= _IN_COMMON
            for move in newer
        )
        return probable.region, waited and still

    def _reaches(self, move: _Move, frame: int) -> bool:
        return frame > move.frame + self._lag


class Cadence:
    """Numbers frames by the network's own count, which wraps, and by the sensor's timestamps.

    The first is 0. Times are on one clock, in ns; a frame's is the start of its readout. A tensor
    may come with the metadata of a later frame, never of an earlier one.
    """

    def __init__(self, period_ns: int) -> None:
        self._period = float(period_ns)
        self._last: _Numbered | None = None
        self._astray: deque[tuple[int, int]] = deque(maxlen=_SURE)  # time and count, in a row
        self._late = 0  # tensors in a row with a later frame's time
        self.corrected = False  # by the newest frame: those before it had other times or numbers

    @property
    def period_ns(self) -> int:
        return round(self._period)

    def number(self, time_ns: int, count: int) -> int | None:
        """The frame that a tensor shows, which came with metadata of this time.

        None for one that cannot be placed: older than the last, given already, or with a count
        that the clock contradicts, unless so do others before it.
        """
        last, self.corrected = self._last, False
        if last is None:
            return self._place(0, time_ns, count)
        passed = (time_ns - last.time_ns) / self._period
        steps = _nearest(count - last.told, passed)
        early = steps - passed >= 0.5
        if steps <= 0 or abs(passed - steps) > _ASTRAY or (early and last.known):
            self._astray.append((time_ns, count))
            return self._found_anew(last)
        self._astray.clear()
        self._late = self._late + 1 if passed - steps >= 0.5 else 0
        if self._late >= _COUNT_LOST:
            return self._go_on(last, time_ns, count)
        self.corrected = early  # the last one's time was a later frame's
        if self._late:  # this one's is
            time_ns = last.time_ns + round(steps * self._period)
        elif not early:
            self._period += _EASE * ((time_ns - last.time_ns) / steps - self._period)
        return self._place(last.number + steps, time_ns, count, known=True)

    def counted(self, count: int, arrived_ns: int) -> int | None:
        """The same for a tensor that came without any time: it goes on from the last that had one.

        arrived_ns  a frame or more after its readout began
        """
        last, self.corrected = self._last, False
        if last is None:
            return None
        passed = (arrived_ns - last.time_ns) / self._period - _ARRIVES
        steps = _nearest(count - last.told, passed)
        if steps <= 0 or abs(passed - steps) > _ARRIVES:
            return None
        time_ns = last.time_ns + round(steps * self._period)
        return self._place(last.number + steps, time_ns, count, known=last.known)

    def _found_anew(self, last: _Numbered) -> int | None:
        """The number of the newest frame, where the last ones agree with one another and not with
        those before: the count was set back, or the period is another. It goes on from there.
        """
        if len(self._astray) < _SURE:
            return None
        pairs = list(pairwise(self._astray))
        periods = [(b[0] - a[0]) / ((b[1] - a[1]) % _COUNTS or _COUNTS) for a, b in pairs]
        if not _SHORTEST_NS < max(periods) < (1 + _MARGIN) * min(periods):
            return None
        self._period = fmean(periods)
        return self._go_on(last, *self._astray[-1])

    def _go_on(self, last: _Numbered, time_ns: int, count: int) -> int:
        """Number it by time alone; and those after it from there."""
        self._astray.clear()
        self._late, self.corrected = 0, True
        steps = max(round((time_ns - last.time_ns) / self._period), 1)
        return self._place(last.number + steps, time_ns, count)

    def _place(self, number: int, time_ns: int, count: int, *, known: bool = False) -> int:
        self._last = _Numbered(number, time_ns, count, known)
        return number

    def begun(self, time_ns: int) -> int:
        """The newest frame whose readout had begun by then; one too many rather than too few."""
        return self._begun(time_ns, _MARGIN)

    def surely_begun(self, time_ns: int) -> int:
        """The same; one too few rather than too many."""
        return self._begun(time_ns, -_MARGIN)

    def _begun(self, time_ns: int, margin: float) -> int:
        if self._last is None:
            return -1
        passed = (time_ns - self._last.time_ns) / self._period
        return self._last.number + floor(passed + margin)

    def starts_ns(self, number: int) -> int:
        """When a frame's readout starts, or started."""
        if self._last is None:
            raise ValueError("no frame has been seen yet")
        last = self._last
        return last.time_ns + round((number - last.number) * self._period)


def _nearest(counted: int, passed: float) -> int:
    """The frames that a count, which wraps, has gone on by; about as many as have `passed`."""
    counted %= _COUNTS
    return counted + _COUNTS * round((passed - counted) / _COUNTS)
