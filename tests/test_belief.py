"""The filter: filterpy's of four states, and a least-squares line."""

from __future__ import annotations

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk import belief
from glasses_sdk.belief import Belief
from glasses_sdk.turning import Turns, focal_px
from glasses_sdk.types import HeadPose, Size

places = st.tuples(st.floats(-100, 2000), st.floats(-100, 2000))
sizes = st.floats(1, 1000)
times_ns = st.integers(-20_000_000, 2_000_000_000)


def reference(x: float, y: float, size: float) -> KalmanFilter:
    kalman = KalmanFilter(dim_x=4, dim_z=2)
    kalman.x = np.array([[x], [y], [0.0], [0.0]])
    kalman.H = np.eye(2, 4)
    kalman.P = np.diag([size**2 / 4, size**2 / 4, size**2, size**2])
    return kalman


def measure(
    kalman: KalmanFilter, point: tuple[float, float], size: float, dt: float, doubt: float = 1.0
) -> None:
    """The equations of the docstrings, as matrices of both axes at once."""
    pushed = max(dt, 1e-3)
    gain = np.array([[pushed**2 / 2, 0], [0, pushed**2 / 2], [pushed, 0], [0, pushed]])
    kalman.F = np.eye(4) + np.diag([dt, dt], 2)
    kalman.Q = (3.0 * size) ** 2 * gain @ gain.T
    kalman.R = np.eye(2) * (0.05 * size * doubt) ** 2
    kalman.predict()
    kalman.update(np.array(point))


@settings(deadline=None)
@given(places, sizes, st.lists(st.tuples(places, sizes, times_ns, st.floats(1, 10)), max_size=20))
def test_the_numbers_are_those_of_filterpy(start, size, measured):
    believed, kalman = Belief(*start, size, 0), reference(*start, size)
    before_ns = 0
    for point, wide, time_ns, doubt in measured:
        believed.measure(point, wide, time_ns, doubt)
        measure(kalman, point, wide, max(time_ns - before_ns, 0) / 1e9, doubt)
        before_ns = max(time_ns, before_ns)
    state = believed.x, believed.y, believed.vx, believed.vy
    assert state == pytest.approx(kalman.x.ravel(), rel=1e-6, abs=1e-6)
    p00, p01, p11 = believed.p00, believed.p01, believed.p11
    both = np.kron([[p00, p01], [p01, p11]], np.eye(2))
    assert both == pytest.approx(kalman.P, rel=1e-6, abs=1e-6)
    assert believed.time_ns == before_ns


@given(places, sizes, places, st.integers(0, 250_000_000))
def test_the_surprise_is_filterpys_mahalanobis_distance(start, size, point, ahead_ns):
    believed, kalman = Belief(*start, size, 0), reference(*start, size)
    believed.measure(start, size, 33_000_000)
    measure(kalman, start, size, 0.033)
    dt = ahead_ns / 1e9
    gain = np.array([[dt**2 / 2, 0], [0, dt**2 / 2], [dt, 0], [0, dt]])
    kalman.predict(F=np.eye(4) + np.diag([dt, dt], 2), Q=(3.0 * size) ** 2 * gain @ gain.T)
    kalman.update(np.array(point), R=np.eye(2) * (0.2 * size) ** 2)
    surprise = believed.surprise(point, size, 33_000_000 + ahead_ns, 0.2)
    assert surprise == pytest.approx(kalman.mahalanobis, rel=1e-6, abs=1e-6)


def test_without_process_noise_it_is_a_least_squares_line(monkeypatch: pytest.MonkeyPatch):
    """With a flat prior; the slope and the place are numpy's own fit."""
    monkeypatch.setattr(belief, "_PUSH", 0.0)
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.05, 25))
    across, down = 300 + 40 * times + rng.normal(0, 2, 25), 240 - 9 * times + rng.normal(0, 2, 25)
    believed = Belief(300, 240, 50, 0)
    believed.p00 = believed.p11 = 1e10
    for time, x, y in zip(times, across, down, strict=True):
        believed.measure((x, y), 50, round(time * 1e9))
    for slope, start, place, speed in (
        (*np.polyfit(times, across, 1), believed.x, believed.vx),
        (*np.polyfit(times, down, 1), believed.y, believed.vy),
    ):
        assert speed == pytest.approx(slope, abs=1e-2)
        assert place == pytest.approx(start + slope * times[-1], abs=1e-2)


def test_it_believes_in_a_steady_pace_for_a_quarter_of_a_second_only():
    believed = Belief(100, 50, 40, 0)
    for n in range(1, 60):
        believed.measure((100 + 3 * n, 50 - n), 40, n * 33_000_000)
    x, y = believed.centre(believed.time_ns + 100_000_000)
    assert (x - believed.x, believed.y - y) == pytest.approx(
        (0.1 * 3 / 0.033, 0.1 / 0.033), rel=0.01
    )
    quarter = believed.centre(believed.time_ns + 250_000_000)
    assert believed.centre(believed.time_ns + 2_000_000_000) == quarter
    before = believed.centre(believed.time_ns - 100_000_000)
    assert (before[0], x) == pytest.approx((2 * believed.x - x, x))
    assert believed.centre(0) == believed.centre(believed.time_ns - 250_000_000)


def test_a_camera_that_turns_takes_place_and_velocity_along():
    """A far thing at rest, and a head that turns: the thing does not move, the picture does."""
    sensor = Size(640, 480)
    turns = Turns(sensor, focal_px(sensor, 70))
    believed = Belief(319.5, 239.5, 60, 0, turns)
    for n in range(61):
        half = 0.5 * np.radians(40) * n * 0.01
        turns.add(HeadPose(n * 10_000_000, (0.0, float(np.sin(half)), 0.0, float(np.cos(half)))))
        place = 319.5 - focal_px(sensor, 70) * np.tan(2 * half)
        if n % 3 == 0:
            believed.measure((place, 239.5), 60, n * 10_000_000)
            assert (believed.x, believed.y) == pytest.approx((place, 239.5), abs=0.01)
            assert abs(believed.vx) + abs(believed.vy) < 0.5
