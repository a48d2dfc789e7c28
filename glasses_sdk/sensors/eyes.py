"""Eyes that look at the objects of a made world, one after the other.

A dwell on an object is a row of fixations on points of its visible part, which the eyes pursue
while it moves; saccades lead from one to the next and blinks fall between. Saccades keep the main
sequence (2.2 ms a degree above 21 ms; Carpenter 1988) and a minimum-jerk profile, whose peak
velocity is 1.875 times the mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, nan
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.types import Bits, Gaze, Size

__all__ = ["Dwell", "Eyes", "Sight", "View"]

FIELD_DEG = 60  # the frame's width, seen
NOISE_DEG = 0.5  # root mean square: half of it stays during a fixation, half is new each sample
SAMPLE_NS = 5_000_000  # 200 Hz
ENOUGH = 0.6  # visible share of an object below which nobody looks at it
_STEP_S = 0.1  # how often visibility is checked ahead
_BLOCK = 200  # samples whose noise is drawn together
_AHEAD_S = 5  # how far `gaze` plans ahead, a little at each call, so that no call takes long
_AHEAD_STEPS = 2

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What can be seen of an object: bits over whole frame pixels from (left, top) on.

    share   visible part of the whole object, what is outside the frame included
    """

    left: int
    top: int
    bits: Bits
    share: float

    def shows(self, point: Point) -> bool:
        """Does the pixel under a point of the frame show the object?"""
        column, row = round(point[0]) - self.left, round(point[1]) - self.top
        height, width = self.bits.shape
        return 0 <= column < width and 0 <= row < height and bool(self.bits[row, column])


class Sight(Protocol):
    """What eyes need of a world."""

    @property
    def size(self) -> Size: ...

    @property
    def objects(self) -> int: ...

    def view(self, thing: int, time_s: float) -> View:
        """What can be seen of an object at a time."""
        ...

    def place(self, thing: int, spot: Point, time_s: float) -> Point:
        """Where a point of an object's cut-out is in the frame."""
        ...

    def spot(self, thing: int, point: Point, time_s: float) -> Point:
        """Which point of an object's cut-out is at a point of the frame."""
        ...


@dataclass(frozen=True, slots=True)
class Dwell:
    """The eyes are on one object from landing to leaving it."""

    thing: int
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class _Movement:
    """A fixation, saccade or rest: from `start_s` on the eyes are at `at(time_s)`."""

    start_s: float
    at: Callable[[float], Point]


class Eyes:
    """A plan of looks that grows as far as it is asked for; the same for the same seed.

    Planning is a generator that pauses after each look at what is visible, the costly part, and
    after each step of the plan.
    """

    def __init__(self, sight: Sight, seed: int) -> None:
        self._sight = sight
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._now_s = self._planned_s = 0.1
        self._last: int | None = None
        self._next_blink_s = float(self._rng.uniform(1, 4))
        middle = (sight.size.width / 2, sight.size.height / 2)
        self._movements = [_Movement(0.0, lambda _: middle)]
        self._dwells: list[Dwell] = []
        self._blinks: list[tuple[float, float]] = []
        self._planning = self._looks()

    def dwells(self, until_s: float) -> list[Dwell]:
        """Those that begin before a time."""
        self._plan(until_s)
        return [dwell for dwell in self._dwells if dwell.start_s < until_s]

    def thing(self, time_s: float) -> int | None:
        """The object that the eyes are on, through blinks too; None on the way to another."""
        self._plan(time_s)
        i = bisect_right(self._dwells, time_s, key=lambda dwell: dwell.start_s) - 1
        return self._dwells[i].thing if i >= 0 and time_s < self._dwells[i].stop_s else None

    def gaze(self, start_ns: int, stop_ns: int) -> list[Gaze]:
        """The samples in [start_ns, stop_ns) from the first frame on, in 0 to 1 of the frame."""
        first = max(-(-start_ns // SAMPLE_NS), 0)
        samples = [self._sample(i) for i in range(first, -(-stop_ns // SAMPLE_NS))]
        self._plan_ahead(stop_ns / 1e9)
        return samples

    def _sample(self, i: int) -> Gaze:
        time_s = i * SAMPLE_NS / 1e9
        self._plan(time_s)
        if self._shut(time_s):
            return Gaze(i * SAMPLE_NS, nan, nan, 0.0)
        x, y = self._at(time_s)
        noise = _noise(self._seed, i // _BLOCK)[i % _BLOCK] * self._noise_px()
        return Gaze(
            i * SAMPLE_NS,
            min(max((x + 0.5 + float(noise[0])) / self._sight.size.width, 0.0), 1.0),
            min(max((y + 0.5 + float(noise[1])) / self._sight.size.height, 0.0), 1.0),
        )

    def _noise_px(self) -> float:
        """Of one axis and one of the two halves: four such variances make the whole."""
        return NOISE_DEG / 2 * self._sight.size.width / FIELD_DEG

    def _shut(self, time_s: float) -> bool:
        i = bisect_right(self._blinks, (time_s, float("inf"))) - 1
        return i >= 0 and time_s < self._blinks[i][1]

    def _at(self, time_s: float) -> Point:
        i = bisect_right(self._movements, time_s, key=lambda movement: movement.start_s) - 1
        return self._movements[i].at(time_s)

    def _plan(self, until_s: float) -> None:
        while self._planned_s <= until_s:
            next(self._planning)

    def _plan_ahead(self, time_s: float) -> None:
        for _ in range(_AHEAD_STEPS):
            if self._planned_s < time_s + _AHEAD_S:
                next(self._planning)

    def _looks(self) -> Generator[None, None, None]:
        while True:
            yield from self._plan_look()
            self._planned_s = self._now_s
            yield

    def _plan_look(self) -> Generator[None, None, None]:
        every = range(self._sight.objects)
        things = [i for i in every if i != self._last] or every
        for thing in self._rng.permutation(things):
            if (yield from self._worth_a_look(int(thing))):
                yield from self._plan_dwell(int(thing))
                return
        self._rest(0.25)

    def _worth_a_look(self, thing: int) -> Generator[None, None, bool]:
        for time_s in self._now_s + np.arange(0, 1.2, 2 * _STEP_S):
            if self._sight.view(thing, float(time_s)).share < ENOUGH + 0.05:
                return False
            yield
        return True

    def _rest(self, length_s: float) -> None:
        """Nothing to look at: the eyes stay where they are."""
        here = self._at(self._now_s)
        self._movements.append(_Movement(self._now_s, lambda _: here))
        self._now_s += length_s

    def _plan_dwell(self, thing: int) -> Generator[None, None, None]:
        spot = self._jump(thing)
        start_s = self._now_s
        wanted_s = start_s + float(self._rng.uniform(1, 3))
        stop_s = yield from self._visible_until(thing, wanted_s)
        while self._now_s < stop_s:
            self._now_s = yield from self._fixation_end(thing, spot, stop_s)
            if self._now_s < stop_s:
                spot = self._jump(thing)
        self._dwells.append(Dwell(thing, start_s, self._now_s))
        self._last = thing
        self._plan_blink(self._dwells[-1])

    def _visible_until(self, thing: int, stop_s: float) -> Generator[None, None, float]:
        for time_s in _steps(self._now_s, stop_s):
            if self._sight.view(thing, time_s).share < ENOUGH:
                return time_s - _STEP_S
            yield
        return stop_s

    def _fixation_end(self, thing: int, spot: Point, stop_s: float) -> Generator[None, None, float]:
        """When the eyes are led on within the object: at the latest when their point is hidden."""
        end_s = min(self._now_s + float(self._rng.uniform(0.35, 1.1)), stop_s)
        for time_s in _steps(self._now_s, end_s):
            aim = self._sight.place(thing, spot, time_s)
            if not self._sight.view(thing, time_s).shows(aim):
                return time_s
            yield
        return end_s

    def _plan_blink(self, dwell: Dwell) -> None:
        start_s = max(self._next_blink_s, dwell.start_s + 0.3)
        stop_s = start_s + float(self._rng.uniform(0.1, 0.25))
        if stop_s < dwell.stop_s - 0.05:
            self._blinks.append((start_s, stop_s))
            self._next_blink_s = stop_s + float(self._rng.uniform(2, 5))

    def _jump(self, thing: int) -> Point:
        """A saccade to a point of an object, and its pursuit from landing on; gives the point."""
        start_s, origin = self._now_s, self._at(self._now_s)
        spot = self._pick(thing, start_s)
        offset = self._rng.normal(0, self._noise_px(), 2)

        def pursue(time_s: float) -> Point:
            x, y = self._sight.place(thing, spot, time_s)
            return x + float(offset[0]), y + float(offset[1])

        length_s = self._saccade_s(origin, pursue(start_s))
        goal = pursue(start_s + length_s)

        def leap(time_s: float) -> Point:
            way = _minimum_jerk((time_s - start_s) / length_s)
            return origin[0] + way * (goal[0] - origin[0]), origin[1] + way * (goal[1] - origin[1])

        self._now_s = start_s + length_s
        self._movements += [_Movement(start_s, leap), _Movement(self._now_s, pursue)]
        return spot

    def _saccade_s(self, origin: Point, goal: Point) -> float:
        amplitude_px = hypot(goal[0] - origin[0], goal[1] - origin[1])
        amplitude_deg = amplitude_px * FIELD_DEG / self._sight.size.width
        return min(max(0.021 + 0.0022 * amplitude_deg, 0.02), 0.06)

    def _pick(self, thing: int, time_s: float) -> Point:
        """A point well inside what is visible of an object, in its cut-out's pixels."""
        view = self._sight.view(thing, time_s)
        depth = cv2.distanceTransform(np.pad(view.bits, 1).astype(np.uint8), cv2.DIST_L2, 3)
        rows, columns = np.nonzero(depth >= 0.5 * depth.max())
        i = int(self._rng.integers(rows.size))
        point = view.left + float(columns[i]) - 1, view.top + float(rows[i]) - 1
        return self._sight.spot(thing, point, time_s)


def _steps(start_s: float, stop_s: float) -> Iterator[float]:
    yield from (float(t) for t in np.arange(start_s, stop_s, _STEP_S))
    yield stop_s


def _minimum_jerk(s: float) -> float:
    """Share of the way after the share `s` of the time (Flash and Hogan 1985)."""
    return s * s * s * (10 - 15 * s + 6 * s * s)


@lru_cache(maxsize=4)
def _noise(seed: int, block: int) -> npt.NDArray[np.float64]:
    """Unit noise of a block of samples, [_BLOCK, 2]."""
    return np.random.default_rng([seed, 2, block]).standard_normal((_BLOCK, 2))
