"""Where things go when the head turns, against scipy's rotations and a camera built here."""

from __future__ import annotations

import csv
import gzip
import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasses_sdk.geometry import apply
from glasses_sdk.turning import Turns, focal_px, homography, rotation, turn, turn_angle
from glasses_sdk.types import HeadPose, Size

scipy_rotation = pytest.importorskip("scipy.spatial.transform", reason="the oracle is scipy")
Rotation, Slerp = scipy_rotation.Rotation, scipy_rotation.Slerp

SENSOR = Size(640, 480)
FOCAL = 500.0
CENTRE = (319.5, 239.5)
Quaternion = tuple[float, float, float, float]


def about(axis: tuple[float, float, float], degrees: float) -> Quaternion:
    half = math.radians(degrees) / 2
    return *(math.sin(half) * part for part in axis), math.cos(half)


RIGHT, UP, LEVEL = about((0, 1, 0), 10), about((1, 0, 0), 10), (0.0, 0.0, 0.0, 1.0)

parts = st.floats(-1, 1)
orientations = st.tuples(parts, parts, parts, parts).filter(lambda q: math.hypot(*q) > 0.1)
orientations = orientations.map(lambda q: tuple(part / math.hypot(*q) for part in q))
small = st.tuples(*[st.floats(-0.08, 0.08)] * 3).map(
    lambda v: (*v, math.sqrt(1 - math.hypot(*v) ** 2))
)
points = st.tuples(st.floats(0, 639), st.floats(0, 479))


@given(orientations)
def test_the_rotation_is_scipys(q: Quaternion):
    HeadPose(0, q)  # the same convention of quaternions
    assert rotation(q) == pytest.approx(Rotation.from_quat(q).as_matrix(), abs=1e-12)


@given(orientations, orientations)
def test_the_angle_is_scipys(p: Quaternion, q: Quaternion):
    both = Rotation.from_quat(p).inv() * Rotation.from_quat(q)
    assert turn_angle(p, q) == pytest.approx(both.magnitude(), abs=1e-7)
    assert turn_angle(p, tuple(-part for part in q)) == pytest.approx(turn_angle(p, q), abs=1e-12)


def test_a_tiny_turn_is_not_lost_in_rounding():
    q = about((0, 1, 0), math.degrees(1e-6))
    assert turn_angle(LEVEL, q) == pytest.approx(1e-6, rel=1e-6)


def test_what_is_ahead_goes_left_when_the_head_turns_right():
    x, y = apply(homography(LEVEL, RIGHT, FOCAL, SENSOR), *CENTRE)
    assert (x, y) == pytest.approx((CENTRE[0] - FOCAL * math.tan(math.radians(10)), CENTRE[1]))


def test_what_is_ahead_goes_down_when_the_head_looks_up():
    x, y = apply(homography(LEVEL, UP, FOCAL, SENSOR), *CENTRE)
    assert (x, y) == pytest.approx((CENTRE[0], CENTRE[1] + FOCAL * math.tan(math.radians(10))))


def test_a_head_that_tilts_to_the_right_turns_the_picture_to_the_left_about_its_middle():
    tilted = about((0, 0, 1), 90)  # z is ahead: x, to the right, goes to y, down
    assert rotation(tilted) @ (1, 0, 0) == pytest.approx((0, 1, 0))
    matrix = homography(LEVEL, tilted, FOCAL, SENSOR)
    assert apply(matrix, *CENTRE) == pytest.approx(CENTRE)
    assert apply(matrix, CENTRE[0] + 100, CENTRE[1]) == pytest.approx((CENTRE[0], CENTRE[1] - 100))


@given(orientations, small, points)
def test_a_far_point_is_where_a_camera_sees_it(start: Quaternion, step: Quaternion, point):
    """The oracle: back to a ray, to the world, into the other head's frame, and onto the sensor."""
    before = Rotation.from_quat(start)
    after = before * Rotation.from_quat(step)
    ray = np.array([(point[0] - CENTRE[0]) / FOCAL, (point[1] - CENTRE[1]) / FOCAL, 1.0])
    x, y, z = after.inv().apply(before.apply(ray))
    matrix = homography(start, tuple(after.as_quat()), FOCAL, SENSOR)
    seen = x / z * FOCAL + CENTRE[0], y / z * FOCAL + CENTRE[1]
    assert apply(matrix, *point) == pytest.approx(seen, abs=1e-6)


@given(orientations, orientations, orientations)
def test_two_turns_are_one(a: Quaternion, b: Quaternion, c: Quaternion):
    assert turn(b, c) @ turn(a, b) == pytest.approx(turn(a, c), abs=1e-12)
    whole = homography(a, c, FOCAL, SENSOR)
    assert homography(b, c, FOCAL, SENSOR) @ homography(a, b, FOCAL, SENSOR) == pytest.approx(
        whole, abs=1e-6
    )


@given(orientations)
def test_a_head_that_does_not_turn_moves_nothing(q: Quaternion):
    assert homography(q, q, FOCAL, SENSOR) == pytest.approx(np.eye(3), abs=1e-9)
    assert turn_angle(q, q) == pytest.approx(0, abs=1e-7)


# What the poses of a second say


def of_yaw(degrees: np.ndarray, step_ns: int = 5_000_000) -> Turns:
    turns = Turns(SENSOR, FOCAL)
    for n, yaw in enumerate(degrees):
        turns.add(HeadPose(n * step_ns, about((0, 1, 0), float(yaw))))
    return turns


@pytest.mark.parametrize(("from_ms", "to_ms"), [(0, 200), (33, 151), (151, 33), (102, 104)])
def test_a_point_is_carried_as_the_orientations_between_two_poses_say(from_ms: int, to_ms: int):
    """The oracle: scipy's spherical interpolation between the poses."""
    degrees = np.cumsum(np.random.default_rng(0).normal(0.1, 0.3, 60))
    known = Slerp(5.0 * np.arange(60), Rotation.from_euler("y", degrees[:, None], degrees=True))
    before, after = (tuple(known(ms).as_quat()) for ms in (from_ms, to_ms))
    seen = apply(homography(before, after, FOCAL, SENSOR), 200, 300)
    carried = of_yaw(degrees).carry((200, 300), from_ms * 1_000_000, to_ms * 1_000_000)
    assert carried == pytest.approx(seen, abs=1e-3)


def test_after_the_newest_pose_the_head_goes_on_as_it_turned_and_then_stops():
    turns = of_yaw(np.arange(40) * 0.2)  # 40 degrees a second
    newest_ns = 39 * 5_000_000
    ahead = of_yaw(np.arange(70) * 0.2)
    for ms in (10, 33, 99):
        wanted = ahead.carry(CENTRE, newest_ns, newest_ns + ms * 1_000_000)
        carried = turns.carry(CENTRE, newest_ns, newest_ns + ms * 1_000_000)
        assert carried == pytest.approx(wanted, abs=0.1)
    late = turns.carry(CENTRE, newest_ns, newest_ns + 10**10)
    assert late == turns.carry(CENTRE, newest_ns, newest_ns + 100_000_000)


def test_poses_that_come_together_say_nothing_of_how_fast_the_head_turns():
    even, bursts = Turns(SENSOR, FOCAL), Turns(SENSOR, FOCAL)
    for n in range(60):
        orientation = about((0, 1, 0), n * 0.2)  # 20 degrees a second
        even.add(HeadPose(n * 10_000_000, orientation))
        bursts.add(HeadPose((n // 3 * 3 + 2) * 10_000_000 + n % 3 * 50_000, orientation))
    newest_ns = 590_000_000
    wanted = even.carry(CENTRE, newest_ns - 100_000_000, newest_ns + 33_000_000)
    carried = bursts.carry(CENTRE, newest_ns - 100_000_000, newest_ns + 33_000_000)
    assert carried == pytest.approx(wanted, abs=10)


def test_one_pose_where_no_head_can_have_come_moves_nothing():
    turns = of_yaw(np.full(40, 30.0))
    turns.add(HeadPose(200_000_000, (0.0, 0.0, 0.0, 1.0)))  # it has lost its way
    assert turns.carry(CENTRE, 100_000_000, 210_000_000) == pytest.approx(CENTRE)
    turns.add(HeadPose(205_000_000, about((0, 1, 0), 30.0)))
    assert turns.carry(CENTRE, 100_000_000, 210_000_000) == pytest.approx(CENTRE)


def test_a_headset_that_is_recentred_begins_anew():
    turns = of_yaw(np.full(40, 30.0))
    for n in range(40):
        turns.add(HeadPose(200_000_000 + n * 5_000_000, about((0, 1, 0), n * 0.1)))
    assert turns.carry(CENTRE, 150_000_000, 203_000_000) == pytest.approx(CENTRE)
    wanted = of_yaw(np.arange(40) * 0.1).carry(CENTRE, 50_000_000, 150_000_000)
    assert turns.carry(CENTRE, 250_000_000, 350_000_000) == pytest.approx(wanted)


def test_without_poses_and_with_a_single_one_nothing_moves():
    assert Turns(SENSOR, FOCAL).carry((3, 4), 0, 10**9) == (3, 4)
    assert of_yaw(np.array([30.0])).carry((3, 4), 0, 10**9) == (3, 4)


def test_an_orientation_and_its_negative_are_the_same_pose():
    degrees, turns = np.arange(30) * 0.5, Turns(SENSOR, FOCAL)
    for n, yaw in enumerate(degrees):
        x, y, z, w = about((0, 1, 0), float(yaw))
        turns.add(HeadPose(n * 5_000_000, (-x, -y, -z, -w) if n % 2 else (x, y, z, w)))
    carried = turns.carry(CENTRE, 12_000_000, 101_000_000)
    assert carried == pytest.approx(of_yaw(degrees).carry(CENTRE, 12_000_000, 101_000_000))


def test_poses_out_of_order_do_not_count_and_a_clock_that_was_set_back_begins_anew():
    turns = of_yaw(np.arange(40) * 0.2)
    before = turns.carry(CENTRE, 0, 150_000_000)
    turns.add(HeadPose(100_000_000, about((0, 1, 0), 90)))
    assert turns.carry(CENTRE, 0, 150_000_000) == before
    turns = of_yaw(np.arange(40) * 0.2, step_ns=10**9)
    for n in range(3):
        turns.add(HeadPose(n * 10_000_000, about((0, 1, 0), float(n))))
    wanted = apply(homography(LEVEL, about((0, 1, 0), 2), FOCAL, SENSOR), *CENTRE)
    assert turns.carry(CENTRE, 0, 20_000_000) == pytest.approx(wanted, abs=1e-6)


def test_what_comes_to_lie_behind_is_far_outside():
    x, y = of_yaw(np.linspace(0, 170, 100)).carry(CENTRE, 0, 495_000_000)
    assert min(x, y) > 100_000


# The camera


@pytest.mark.parametrize("degrees", [20.0, 66.0, 120.0])
def test_the_field_of_view_reaches_from_edge_to_edge(degrees: float):
    focal = focal_px(SENSOR, degrees)
    turned = about((0, 1, 0), degrees / 2)
    x, _ = apply(homography(LEVEL, turned, focal, SENSOR), SENSOR.width - 0.5, CENTRE[1])
    assert x == pytest.approx(CENTRE[0])


@pytest.mark.parametrize("degrees", [0, -5, 180, math.nan])
def test_a_field_of_view_that_is_none_is_refused(degrees: float):
    with pytest.raises(ValueError, match="a field of view lies in 0 to 180 degrees"):
        focal_px(SENSOR, degrees)


@pytest.mark.parametrize("focal", [0, -1, math.nan])
def test_a_focal_length_that_is_none_is_refused(focal: float):
    with pytest.raises(ValueError, match="a focal length is above 0 pixels"):
        homography(LEVEL, RIGHT, focal, SENSOR)


# A real head


def test_a_real_head_turns_as_its_gyroscope_says():
    """Over each 50 ms of a recording of Project Aria the turn is -[w dt]x."""
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA is not set")
    path = Path(folder) / "gaze" / "aria" / "open_loop_trajectory_3s.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([float(row["tracking_timestamp_us"]) / 1e6 for row in rows])
    rates = np.array([[float(row[f"angular_velocity_{k}_device"]) for k in "xyz"] for row in rows])
    quaternions = [tuple(float(row[f"q{k}_odometry_device"]) for k in "xyzw") for row in rows]
    fast = 0
    for start, end in pairwise(range(0, len(rows), 50)):
        turned = np.diff(times[start : end + 1]) @ rates[start:end]
        r = turn(quaternions[start], quaternions[end])
        axis = np.array([r[1, 2] - r[2, 1], r[2, 0] - r[0, 2], r[0, 1] - r[1, 0]]) / 2
        assert axis == pytest.approx(turned, abs=5e-3)
        angle = turn_angle(quaternions[start], quaternions[end])
        assert angle == pytest.approx(np.linalg.norm(turned), abs=5e-3)
        fast += angle > 0.02
    assert fast > 5  # more than any slack
