"""What the eyes are doing, sample by sample: fixation, saccade, smooth pursuit or blink.

Causal: each sample is judged by itself and those before it, at 10 to 1000 Hz, evenly or not.

- A velocity is the least-squares slope over the last `window_ms`.
- A saccade differs from the velocity of the hold before it by more than `noise` times the spread of
  the velocities, which medians over the last seconds measure (Engbert & Kliegl 2003): so the
  threshold adapts to the tracker and the person (Nyström & Holmqvist 2010). It leads away from
  what was held, and ends once velocities stay below that threshold for a moment.
- Between saccades the eyes hold something: a fixation, or smooth pursuit where the velocity is
  steady and not zero. In the plane of a scene camera, a head that turns while the eyes stay on a
  thing looks like pursuit.
- The points of a hold go through a One-Euro filter (Casiez 2012) that begins as their mean, at the
  landing: nothing is dragged along over a saccade.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import atan, degrees, exp, hypot, inf, nan, pi, radians, sqrt, tan
from statistics import median
from typing import Literal, NamedTuple

from glasses_sdk.gaze.guard import MAX_AGE_MS
from glasses_sdk.types import Gaze

__all__ = ["EventConfig", "EventFilter", "Movement", "MovementState"]

MovementState = Literal["fixation", "saccade", "pursuit", "blink"]


@dataclass(frozen=True, slots=True)
class EventConfig:
    """What counts as which movement.

    field_of_view_deg  width and height of the plane 0 to 1, as a flat picture; None: the samples
                       are degrees themselves
    min_confidence     samples below it are a blink
    max_age_ms         samples that arrive later do not count
    window_ms          over which a velocity is measured
    noise              how many spreads of the velocities make a saccade
    slowest_deg_s      the threshold never falls below
    fastest_deg_s      and never rises above
    smallest_deg       what leads less far is no saccade
    settle_ms          velocities have to stay low so long for a saccade to end
    pursuit_deg_s      a hold that moves faster is pursuit
    recovery_ms        a blink lasts so much longer: the lid still covers a part of the pupil
    gap_ms             a pause so long is a blink
    longest_ms         no saccade lasts longer; what is still fast then is pursuit
    cutoff_hz, beta    of the One-Euro filter: at rest, and how much it rises with each deg/s
    """

    field_of_view_deg: tuple[float, float] | None = None
    min_confidence: float = 0.6
    max_age_ms: float = MAX_AGE_MS
    window_ms: float = 20.0
    noise: float = 6.0
    slowest_deg_s: float = 30.0
    fastest_deg_s: float = 60.0
    smallest_deg: float = 1.0
    settle_ms: float = 5.0
    pursuit_deg_s: float = 5.0
    recovery_ms: float = 25.0
    gap_ms: float = 250.0
    longest_ms: float = 120.0
    cutoff_hz: float = 1.0
    beta: float = 0.3

    def __post_init__(self) -> None:
        view = self.field_of_view_deg
        if view is not None and not all(0 < side < 180 for side in view):
            raise ValueError(f"a field of view lies between 0 and 180 degrees, not {view}")
        if not 0 < self.slowest_deg_s <= self.fastest_deg_s < inf:
            raise ValueError(
                f"0 < slowest_deg_s <= fastest_deg_s is wanted, "
                f"not {self.slowest_deg_s} and {self.fastest_deg_s}"
            )
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence lies in 0 to 1, not {self.min_confidence}")
        for name in ("max_age_ms", "window_ms", "noise", "gap_ms", "cutoff_hz"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")
        free = ("smallest_deg", "settle_ms", "pursuit_deg_s", "recovery_ms", "longest_ms", "beta")
        for name in free:
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Movement:
    """One sample, understood.

    gaze     in the plane of the samples, the point filtered; confidence 0 and NaN in a blink
    landed   it is the first of a new hold: the eyes have arrived somewhere
    slowing  it is near the end of a saccade: the eyes are about to arrive
    """

    gaze: Gaze
    state: MovementState
    landed: bool = False
    slowing: bool = False


class _Point(NamedTuple):
    """In degrees."""

    time_ns: int
    x: float
    y: float


_Velocity = tuple[float, float]  # deg/s


class EventFilter:
    """Samples in, movements out."""

    def __init__(self, config: EventConfig | None = None) -> None:
        self._config = config or EventConfig()
        self._angles = _angles(self._config.field_of_view_deg)
        self._newest_ns: int | None = None
        self._spread = _Spread(self._config)
        self._begin()

    def take(self, sample: Gaze, now_ns: int | None = None) -> Movement | None:
        """The movement that this sample is part of; None where it does not count.

        now_ns  when it arrived, on the samples' clock; None: at once

        What is older than `max_age_ms`, of the future, before the newest sample, or with it in a
        burst, does not count. Without `now_ns`, a clock that is set back is followed.
        """
        if not self._counts(sample.time_ns, now_ns):
            return None
        pause_ns = inf if self._newest_ns is None else sample.time_ns - self._newest_ns
        self._newest_ns = sample.time_ns
        if not 0 < pause_ns <= self._config.gap_ms * 1e6:
            self._begin()
        point = self._seen(sample)
        if point is None:
            return Movement(Gaze(sample.time_ns, nan, nan, 0.0), "blink")
        return self._move(sample, point, pause_ns)

    def _counts(self, time_ns: int, now_ns: int | None) -> bool:
        if now_ns is not None and not -_AHEAD_NS < now_ns - time_ns < self._config.max_age_ms * 1e6:
            return False
        if self._newest_ns is None or (now_ns is None and time_ns < self._newest_ns - _SET_BACK_NS):
            return True
        return time_ns >= self._newest_ns + _BURST_NS

    def _begin(self, blink_ns: int | None = None) -> None:
        """Nothing is known of what was before, but the spread."""
        self._state: MovementState = "blink"
        self._blink_ns = blink_ns
        self._began_ns = self._fast_ns = 0  # of a saccade: its first sample, its last fast one
        self._fastest: _Velocity = 0.0, 0.0  # in this saccade, since it turned
        self._slope = _Slope(self._config.window_ms)
        self._hold = _Hold(self._config)

    def _seen(self, sample: Gaze) -> _Point | None:
        """Where the eyes look, None in a blink."""
        if sample.confidence < self._config.min_confidence:
            self._begin(sample.time_ns)
            return None
        point = _Point(sample.time_ns, *self._angles(sample.x, sample.y))
        blink_ns = self._blink_ns
        covered = blink_ns is not None and point.time_ns - blink_ns < self._config.recovery_ms * 1e6
        return None if covered or max(abs(point.x), abs(point.y)) > 180 else point

    def _move(self, sample: Gaze, point: _Point, pause_ns: float) -> Movement:
        velocity = self._slope.add(point)
        was, self._state = self._state, self._next(point, velocity)
        between = pause_ns > _SACCADE_NS and self._state == "saccade"  # it came and went unseen
        if between:
            self._state = "fixation"
        if self._state == "saccade":
            slowing = velocity is not None and self._slows(velocity, began=was != "saccade")
            return Movement(sample, "saccade", slowing=slowing)
        landed = was == "blink" or ((between or was == "saccade") and self._leaves(point))
        if landed:
            self._hold = _Hold(self._config)
        return Movement(self._hold.add(sample, velocity), self._state, landed)

    def _next(self, point: _Point, velocity: _Velocity | None) -> MovementState:
        if velocity is None:
            return "fixation"
        threshold = self._spread.add(velocity, point.time_ns)
        if self._state == "saccade":
            return (
                "saccade" if self._lasts(threshold.passed(velocity), point.time_ns) else "fixation"
            )
        x, y = self._hold.velocity
        if self._leaves(point) and threshold.passed((velocity[0] - x, velocity[1] - y)):
            self._began_ns = self._fast_ns = point.time_ns
            return "saccade"
        steady = max(self._config.pursuit_deg_s, max(threshold) / self._config.noise)
        return "pursuit" if hypot(x, y) > steady else "fixation"

    def _leaves(self, point: _Point) -> bool:
        held = self._hold.last
        if held is None:
            return True
        x, y = self._angles(held.x, held.y)
        return hypot(point.x - x, point.y - y) > self._config.smallest_deg

    def _slows(self, velocity: _Velocity, began: bool) -> bool:
        """Whether it has passed its peak velocity, and turned nowhere else since."""
        (x, y), (fast_x, fast_y) = velocity, self._fastest
        speed, fastest = hypot(x, y), hypot(fast_x, fast_y)
        if began or speed > fastest or x * fast_x + y * fast_y <= 0:
            self._fastest = velocity
            return False
        return speed < _SLOWING * fastest

    def _lasts(self, fast: bool, time_ns: int) -> bool:
        if fast:
            self._fast_ns = time_ns
        settled = time_ns - self._fast_ns >= self._config.settle_ms * 1e6
        return not settled and time_ns - self._began_ns < self._config.longest_ms * 1e6


_AHEAD_NS = 50_000_000  # clocks differ by less
_SET_BACK_NS = 1_000_000_000
_BURST_NS = 400_000  # no eye tracker is faster
_SACCADE_NS = 60_000_000  # most are over by then
_SLOWING = 0.7  # of a saccade's peak velocity
_SETTLED_S = 0.075  # over which the velocity of a hold is measured
_SPREAD_NS = 2_000_000_000
_RENEWED_NS = 50_000_000


class _Slope:
    """Velocity by least squares over a window, or over two samples where fewer are in it."""

    def __init__(self, window_ms: float) -> None:
        self._window_ns = window_ms * 1e6
        self._points: deque[_Point] = deque()

    def add(self, point: _Point) -> _Velocity | None:
        """None while the samples do not reach back as far as the window."""
        points = self._points
        points.append(point)
        while len(points) > 2 and self._reaches(points[1]):
            points.popleft()
        return _slope(points) if self._reaches(points[0]) else None

    def _reaches(self, point: _Point) -> bool:
        return self._points[-1].time_ns - point.time_ns >= self._window_ns


def _slope(points: deque[_Point]) -> _Velocity:
    n, last = len(points), points[-1]
    times = [(point.time_ns - last.time_ns) / 1e9 for point in points]
    mean = sum(times) / n
    scale = sum((t - mean) ** 2 for t in times)
    x = sum((t - mean) * point.x for t, point in zip(times, points, strict=True))
    y = sum((t - mean) * point.y for t, point in zip(times, points, strict=True))
    return x / scale, y / scale


class _Threshold(NamedTuple):
    """In deg/s, along each axis: an ellipse."""

    x: float
    y: float

    def passed(self, velocity: _Velocity) -> bool:
        return hypot(velocity[0] / self.x, velocity[1] / self.y) > 1


class _Spread:
    """How much velocities spread when no saccade goes on: medians do not see the saccades."""

    def __init__(self, config: EventConfig) -> None:
        self._config = config
        self._past: deque[tuple[int, _Velocity]] = deque()
        self._renewed_ns: int | None = None
        self._threshold = _Threshold(config.slowest_deg_s, config.slowest_deg_s)

    def add(self, velocity: _Velocity, time_ns: int) -> _Threshold:
        past = self._past
        if past and time_ns < past[-1][0]:
            past.clear()
        past.append((time_ns, velocity))
        while time_ns - past[0][0] > _SPREAD_NS:
            past.popleft()
        if self._renewed_ns is None or abs(time_ns - self._renewed_ns) >= _RENEWED_NS:
            self._renewed_ns = time_ns
            self._threshold = _Threshold(*(self._along(axis) for axis in (0, 1)))
        return self._threshold

    def _along(self, axis: int) -> float:
        values = [velocity[axis] for _, velocity in self._past]
        middle = median(values)
        spread = sqrt(median((value - middle) ** 2 for value in values))
        low, high = self._config.slowest_deg_s, self._config.fastest_deg_s
        return min(max(self._config.noise * spread, low), high)


class _Hold:
    """What the eyes stay on: the velocity in degrees, the point in the plane of the samples."""

    def __init__(self, config: EventConfig) -> None:
        self._config = config
        self._count = 0
        self.last: Gaze | None = None
        self.velocity: _Velocity = 0.0, 0.0

    def add(self, sample: Gaze, velocity: _Velocity | None) -> Gaze:
        """The sample, smoothed."""
        last, self._count = self.last or sample, self._count + 1
        dt = (sample.time_ns - last.time_ns) / 1e9
        if velocity is not None:
            self.velocity = _towards(self.velocity, velocity, 1 - exp(-dt / _SETTLED_S))
        rate = 2 * pi * (self._config.cutoff_hz + self._config.beta * hypot(*self.velocity)) * dt
        share = max(rate / (1 + rate), 1 / self._count)
        x, y = _towards((last.x, last.y), (sample.x, sample.y), share)
        self.last = Gaze(sample.time_ns, x, y, sample.confidence)
        return self.last


def _towards(
    here: tuple[float, float], there: tuple[float, float], share: float
) -> tuple[float, float]:
    return here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])


def _angles(view: tuple[float, float] | None) -> Callable[[float, float], tuple[float, float]]:
    """From the plane to degrees from its middle."""
    if view is None:
        return lambda x, y: (x, y)
    width, height = (2 * tan(radians(side) / 2) for side in view)
    return lambda x, y: (degrees(atan((x - 0.5) * width)), degrees(atan((y - 0.5) * height)))
