"""Where the object is believed to be: a Kalman filter with constant velocity, by filterpy."""

# pyright: reportUnknownMemberType=false
# (filterpy types only a part of itself)

from __future__ import annotations

import numpy as np
from filterpy.kalman import KalmanFilter

from glasses_sdk.types import Matrix

__all__ = ["Belief"]

_PUSH = 4.0  # object sizes a second squared: how hard objects accelerate
_BLUR = 0.05  # object sizes: how exactly a mask says where the middle is
_FARTHEST_S = 0.25  # no prediction reaches beyond: the velocity would run away


class Belief:
    """State (x, y, vx, vy) in sensor pixels and seconds, measured (x, y), over measured time."""

    def __init__(self, x: float, y: float, size: float, time_ns: int) -> None:
        self.time_ns = time_ns
        self.kalman = KalmanFilter(dim_x=4, dim_z=2)
        self.kalman.x = np.array([[x], [y], [0.0], [0.0]])
        self.kalman.H = np.eye(2, 4)
        self.kalman.P = np.diag([size**2 / 4, size**2 / 4, size**2, size**2]).astype(float)

    def centre(self, time_ns: int) -> tuple[float, float]:
        """Where the object's middle is believed to be then."""
        x, y, vx, vy = self.kalman.x.ravel()
        dt = min(max(time_ns - self.time_ns, 0) / 1e9, _FARTHEST_S)
        return float(x + vx * dt), float(y + vy * dt)

    def move(self, x: float, y: float) -> None:
        """It is there, whatever was believed."""
        self.kalman.x[:2, 0] = x, y

    def measure(self, point: tuple[float, float], size: float, time_ns: int) -> None:
        """Predict to `time_ns`, then update with the middle of a mask's box.

        `size` is the object's longer side, in pixels: it sets how far it may be pushed.
        """
        dt = max(time_ns - self.time_ns, 0) / 1e9
        kalman = self.kalman
        kalman.F = np.eye(4) + np.diag([dt, dt], 2)
        kalman.Q = _process_noise(max(dt, 1e-3), _PUSH * size)
        kalman.R = np.eye(2) * (_BLUR * size) ** 2
        kalman.predict()
        kalman.update(np.array([[point[0]], [point[1]]]))
        self.time_ns = max(time_ns, self.time_ns)


def _process_noise(dt: float, push: float) -> Matrix:
    """Q of a constant velocity disturbed by a piecewise constant push (Bar-Shalom 2001, 6.3.2)."""
    gain = np.array([[dt**2 / 2, 0.0], [0.0, dt**2 / 2], [dt, 0.0], [0.0, dt]])
    return push**2 * gain @ gain.T
