"""Where the object is believed to be: a Kalman filter with constant velocity.

Both axes move and are measured alike, so the filter of four states falls apart into one filter of
two states an axis that share their covariance: plain numbers, which cost next to nothing where
small matrices would be most of the work. The tests hold it to filterpy's filter of four.
"""

from __future__ import annotations

from math import exp, hypot, log, sqrt

from glasses_sdk.turning import Turns

__all__ = ["BLUR", "Belief", "Extent"]

_PUSH = 3.0  # object sizes a second squared: how hard objects accelerate
BLUR = 0.05  # object sizes: how exactly a mask says where the middle is
_FARTHEST_S = 0.25  # no prediction reaches beyond: the velocity would run away
_LONGEST_S = 10.0  # a longer pause says no more: nothing is known by then
_SMALL_S = 0.01  # over which a velocity is carried along


class Belief:
    """State (x, y, vx, vy) in sensor pixels and seconds, measured (x, y), over measured time.

    `p00`, `p01` and `p11` are the covariance of place and velocity along either axis. The state
    holds in the picture taken at `time_ns`: where the head has turned since, `turns` carry it.

    That time is the newest measurement's, however long it was on its way: what is asked for is
    predicted from there.
    """

    __slots__ = ("_turns", "p00", "p01", "p11", "time_ns", "vx", "vy", "x", "y")

    def __init__(
        self,
        x: float,
        y: float,
        size: float,
        time_ns: int,
        turns: Turns | None = None,
        velocity: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.time_ns = time_ns
        self.x, self.y = x, y
        self.vx, self.vy = velocity
        self.p00, self.p01, self.p11 = size**2 / 4, 0.0, size**2
        self._turns = turns

    def centre(self, time_ns: int) -> tuple[float, float]:
        """Where the object's middle is believed to be in the picture taken then."""
        dt = min(max((time_ns - self.time_ns) / 1e9, -_FARTHEST_S), _FARTHEST_S)
        point = self.x + self.vx * dt, self.y + self.vy * dt
        return self._turns.carry(point, self.time_ns, time_ns) if self._turns else point

    def error(self, size: float, time_ns: int) -> float:
        """Standard deviation of the place believed then, in pixels, along either axis."""
        dt = min(max((time_ns - self.time_ns) / 1e9, 0.0), _FARTHEST_S)
        g0 = _PUSH * size * dt * dt / 2
        return sqrt(max(self.p00 + dt * (2 * self.p01 + dt * self.p11), 0.0) + g0 * g0)

    def surprise(
        self, point: tuple[float, float], size: float, time_ns: int, error: float
    ) -> float:
        """How many standard deviations `point` is from what is believed then (Mahalanobis).

        error  of the point, in object sizes
        """
        x, y = self.centre(time_ns)
        spread = hypot(self.error(size, time_ns), error * size)
        return hypot(point[0] - x, point[1] - y) / spread

    def measure(
        self, point: tuple[float, float], size: float, time_ns: int, doubt: float = 1.0
    ) -> None:
        """Predict to `time_ns`, then update with the middle of a mask's box.

        time_ns  what is older than the newest measurement counts with it
        size     the object's longer side, in pixels: it sets how far it may be pushed
        doubt    how many times less exact than usual this one is
        """
        self._predict(time_ns, _PUSH * size)
        self._update(point, (BLUR * size * doubt) ** 2)

    def _predict(self, time_ns: int, push: float) -> None:
        """x = F x, P = F P F' + Q.

        Q is that of a piecewise constant push (Bar-Shalom 2001, 6.3.2): push² g g', g = (t²/2, t).
        """
        dt = min(max(time_ns - self.time_ns, 0) / 1e9, _LONGEST_S)
        self.x += self.vx * dt
        self.y += self.vy * dt
        t = max(dt, 1e-3)
        g0, g1 = push * t * t / 2, push * t
        self.p00 += dt * (2 * self.p01 + dt * self.p11) + g0 * g0
        self.p01 += dt * self.p11 + g0 * g1
        self.p11 += g1 * g1
        if self._turns:
            self._turn(self._turns, time_ns)
        self.time_ns = max(time_ns, self.time_ns)

    def _turn(self, turns: Turns, time_ns: int) -> None:
        """Place and velocity as the camera sees them that has turned since."""
        x, y = turns.carry((self.x, self.y), self.time_ns, time_ns)
        ahead = self.x + self.vx * _SMALL_S, self.y + self.vy * _SMALL_S
        ahead_x, ahead_y = turns.carry(ahead, self.time_ns, time_ns)
        self.x, self.y = x, y
        self.vx, self.vy = (ahead_x - x) / _SMALL_S, (ahead_y - y) / _SMALL_S

    def _update(self, z: tuple[float, float], r: float) -> None:
        """K = P H' / (H P H' + R), x = x + K (z - H x), P = (I - K H) P."""
        s = self.p00 + r
        k0, k1 = self.p00 / s, self.p01 / s
        across, down = z[0] - self.x, z[1] - self.y
        self.x += k0 * across
        self.y += k0 * down
        self.vx += k1 * across
        self.vy += k1 * down
        self.p11 -= k1 * self.p01
        self.p00, self.p01 = k0 * r, k1 * r


class Extent:
    """How large the object is: logarithms of width and height, each a random walk.

    The first masks count nearly in full: a wrong size has to be left as soon as the network sees
    more. Later ones count less, or it would grow onto what is beside the object; so do unsure ones,
    and those that run into the region's edge.
    """

    __slots__ = ("_variance", "height", "time_ns", "width")

    def __init__(self, width: float, height: float, time_ns: int) -> None:
        self.width, self.height = width, height
        self.time_ns = time_ns
        self._variance = [_FIRST_ERROR**2, _FIRST_ERROR**2]

    def measure(self, size: tuple[float, float], error: tuple[float, float], time_ns: int) -> None:
        """A mask's box is of this size, each side sure to its `error`, a standard deviation of ln.

        What lies beyond `_GATE` standard deviations counts as if it lay there.
        """
        walk = _WALK * max(time_ns - self.time_ns, 0) / 1e9
        self.width = self._side(0, self.width, size[0], error[0] ** 2, walk)
        self.height = self._side(1, self.height, size[1], error[1] ** 2, walk)
        self.time_ns = max(time_ns, self.time_ns)

    def _side(self, axis: int, side: float, seen: float, noise: float, walk: float) -> float:
        variance = self._variance[axis] + walk
        limit = _GATE * sqrt(variance + noise)
        surprise = min(max(log(seen / side), -limit), limit)
        gain = variance / (variance + noise)
        self._variance[axis] = (1 - gain) * variance
        return side * exp(gain * surprise)


_FIRST_ERROR = 0.54  # at first: the sizes tried say little
_WALK = 0.33  # variance a second
_GATE = 2.5
