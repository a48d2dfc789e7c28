"""Head poses that wait for the loop: what comes in, what does not, and what is said of it."""

from __future__ import annotations

import math

import pytest

from glasses_sdk.gaze.poses import Poses
from glasses_sdk.types import HeadPose

SECOND = 1_000_000_000
NOW = 50 * SECOND
AHEAD = (0.0, 0.0, 0.0, 1.0)


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def poses(clock: Clock) -> Poses:
    return Poses(clock)


def code(poses: Poses) -> str | None:
    return poses.reason.partition(":")[0] if poses.reason else None


def test_poses_come_out_in_order_and_once(poses: Poses) -> None:
    for k in range(3):
        poses.add(NOW + k, AHEAD, None)
    assert poses.take() == [HeadPose(NOW + k, AHEAD, None) for k in range(3)]
    assert not poses.take()
    assert poses.reason is None


@pytest.mark.parametrize(
    ("said", "time_ns", "orientation", "rate"),
    [
        ("head-late", NOW - 3 * SECOND, AHEAD, None),
        ("head-late", NOW + SECOND, AHEAD, None),
        ("head-late", 1_795_000_000 * SECOND, AHEAD, None),  # seconds since 1970
        ("head-unsorted", NOW - 1, AHEAD, None),
        ("head-unsorted", NOW, AHEAD, None),
        ("head-malformed", NOW + 1, (0.0, 0.0, 0.0, 0.0), None),
        ("head-malformed", NOW + 1, (math.nan, 0.0, 0.0, 1.0), None),
        ("head-malformed", NOW + 1, AHEAD, (0.0, math.inf, 0.0)),
    ],
)
def test_a_bad_pose_does_not_come_in_and_it_is_said_why(
    poses: Poses, said: str, time_ns: int, orientation, rate
) -> None:
    poses.add(NOW, AHEAD, None)
    poses.add(time_ns, orientation, rate)
    assert [pose.time_ns for pose in poses.take()] == [NOW]
    assert code(poses) == said


def test_a_pose_where_no_head_can_have_come_is_dropped_unless_the_next_one_agrees(
    poses: Poses, clock: Clock
) -> None:
    behind = (0.0, 1.0, 0.0, 0.0)
    for k, orientation in enumerate([AHEAD, behind, AHEAD, behind, behind]):
        clock.now = NOW + k * 10_000_000
        poses.add(clock.now, orientation, None)
        assert (code(poses) == "head-leap") == (k > 0)
    taken = [(pose.time_ns - NOW) // 10_000_000 for pose in poses.take()]
    assert taken == [0, 2, 4]


def test_what_was_wrong_is_said_for_a_second(poses: Poses, clock: Clock) -> None:
    poses.add(0, AHEAD, None)
    clock.now += SECOND - 1
    assert code(poses) == "head-late"
    clock.now += 1
    assert code(poses) is None
