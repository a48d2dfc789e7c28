"""What knowing the head's turns is worth: tests/head_turns.py, on made and on recorded turns."""

from __future__ import annotations

import os
from math import radians, tan
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk.gaze.poses import turned
from tests.head_turns import (
    FOCAL_PX,
    FRAME_NS,
    LAGS,
    TURNING,
    Recorded,
    errors,
    expected,
    pooled,
    recordings,
)

STEP_NS = 5_000_000


def turning(degrees: np.ndarray) -> Recorded:
    """About the vertical, at 200 Hz."""
    q = np.array([turned((0.0, radians(one), 0.0)) for one in degrees])
    return Recorded.of(STEP_NS * np.arange(degrees.size), q)


@pytest.mark.parametrize("lag", LAGS)
def test_a_steady_turn_moves_the_picture_by_its_tangent_and_is_foreseen(lag):
    found = errors(turning(40 * np.arange(400) * STEP_NS / 1e9), lag)
    wanted = FOCAL_PX * tan(radians(40 * lag * FRAME_NS / 1e9))
    assert found.as_seen == pytest.approx(wanted, rel=1e-3)
    assert found.using.max() < 0.05
    assert found.rate == pytest.approx(radians(40), rel=1e-3)


def test_a_head_at_rest_makes_no_error_however_old_the_mask():
    found = errors(turning(np.zeros(300)), 4)
    assert max(one.max() for one in found) == pytest.approx(0, abs=1e-6)


def test_only_poses_up_to_now_are_used():
    degrees = np.cumsum(np.random.default_rng(0).normal(0, 0.3, 200))
    other = np.where(np.arange(200) <= 120, degrees, 50.0)
    exposure_ns = 120 * STEP_NS + FRAME_NS
    one, same = (expected(turning(each), exposure_ns, 1) for each in (degrees, other))
    assert np.array(one) == pytest.approx(np.array(same))


def test_an_orientation_and_its_negative_are_the_same():
    turns = turning(np.linspace(0, 30, 200))
    flipped = turns.orientation * np.where(np.arange(200) % 3 == 0, -1, 1)[:, None]
    again = Recorded.of(turns.time_ns, flipped)
    for time_ns in np.linspace(0, turns.time_ns[-1], 57):
        assert abs(np.dot(turns.at(time_ns), again.at(time_ns))) == pytest.approx(1)


@pytest.mark.parametrize("name", ["neon", "tobii", "aria"])
@pytest.mark.parametrize("lag", [1, 4])
def test_knowing_the_turns_halves_the_error_on_recordings(name, lag):
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA does not say where the recordings are")
    found = pooled(recordings(Path(folder) / "gaze")[name], lag)
    fast = found.rate > TURNING
    assert fast.sum() >= 20
    assert found.using[fast].mean() < 0.5 * found.without[fast].mean()
    assert found.using[fast].mean() < 2.5
    assert found.using.mean() < 1.5
