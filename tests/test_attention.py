"""From samples to looks to regions: noisy eyes, saccades and blinks before a perfect network."""

from __future__ import annotations

from itertools import pairwise
from math import nan, radians, tan

import numpy as np
import pytest

from glasses_sdk.gaze.attention import Attention
from glasses_sdk.gaze.events import EventConfig
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.tracker import RoiTracker, TrackerConfig
from glasses_sdk.types import Gaze, Roi
from tests.test_tracker import FRAME_NS, SENSOR, seen_by_a_perfect_network

MS = 1_000_000
VIEW_DEG = 66.0, 52.0
A_DEGREE = SENSOR.width / 2 / tan(radians(33)) * tan(radians(1)) / SENSOR.width  # of the plane
HERE, THERE = Roi(100, 150, 90, 70), Roi(430, 250, 100, 120)


def attention(**settings: float) -> Attention:
    return Attention(GazeMap.scale(SENSOR), SENSOR, VIEW_DEG, EventConfig(**settings))


def at(thing: Roi) -> tuple[float, float]:
    """Its middle, in the plane."""
    return thing.centre[0] / SENSOR.width, thing.centre[1] / SENSOR.height


def samples(
    path: list[tuple[int, tuple[float, float]]], hz: float, noise: float = 0.0
) -> list[Gaze]:
    """Straight lines through points of the plane at their times in ms."""
    rng = np.random.default_rng(0)
    times = np.arange(path[0][0], path[-1][0], 1000 / hz)
    x, y = (np.interp(times, [t for t, _ in path], [p[axis] for _, p in path]) for axis in (0, 1))
    errors = rng.normal(0, noise, (times.size, 2)) if noise else np.zeros((times.size, 2))
    return [
        Gaze(round(t * MS), float(a + ex), float(b + ey * 4 / 3))
        for t, a, b, (ex, ey) in zip(times, x, y, errors, strict=True)
    ]


def follow(
    eyes: list[Gaze], things: tuple[Roi, ...], config: TrackerConfig | None = None, **events: float
) -> tuple[list[Roi], list[int]]:
    """The loop, before a perfect network: the region and the track of each frame."""
    tracker, sees = RoiTracker(SENSOR, config), attention(**events)
    waiting, regions, tracks = list(reversed(eyes)), [], []
    for k in range(eyes[-1].time_ns // FRAME_NS):
        now_ns = (k + 1) * FRAME_NS
        while waiting and waiting[-1].time_ns <= now_ns:
            sample = waiting.pop()
            sees.follow(tracker, sample, sample.time_ns)
        region = tracker.predict(now_ns)
        tracks.append(tracker.track)
        if region is None:
            continue
        regions.append(region)
        near = min(things, key=lambda thing: np.hypot(*np.subtract(thing.centre, region.centre)))
        tracker.see(seen_by_a_perfect_network(region, near, k + 1))
    return regions, tracks


def test_while_the_eyes_rest_on_a_still_thing_its_region_stays_within_its_deadband():
    """1 degree of noise, root mean square over both axes, for 20 s."""
    eyes = samples([(0, at(HERE)), (20_000, at(HERE))], 200, noise=A_DEGREE / 2**0.5)
    regions, tracks = follow(eyes, (HERE,))
    deadband = TrackerConfig().deadband
    moves = [
        max(
            abs(a.left - b.left) / b.width,
            abs(a.right - b.right) / b.width,
            abs(a.top - b.top) / b.height,
            abs(a.bottom - b.bottom) / b.height,
        )
        for a, b in pairwise(regions[10:])
    ]
    assert len(moves) > 500
    assert np.mean(np.array(moves) <= deadband) >= 0.99
    assert set(tracks) == {1}


@pytest.mark.parametrize("hz", [10, 30, 120, 200, 1000])
def test_a_saccade_to_another_thing_is_one_new_track(hz: float):
    eyes = samples(
        [(0, at(HERE)), (900, at(HERE)), (950, at(THERE)), (1800, at(THERE))], hz, A_DEGREE / 10
    )
    _, tracks = follow(eyes, (HERE, THERE))
    assert tracks[:26] == [1] * 26
    assert tracks[-1] == 2
    assert tracks.index(2) * FRAME_NS <= (950 + 60 + 1100 / hz) * MS


def test_points_on_the_way_of_a_saccade_start_nothing():
    eyes = samples([(0, at(HERE)), (600, at(HERE)), (660, at(THERE))], 200)
    tracker, sees = RoiTracker(SENSOR), attention()
    states = [sees.follow(tracker, sample, sample.time_ns).state for sample in eyes]
    assert "saccade" in states
    assert tracker.track == 1


def test_a_blink_keeps_the_object_and_is_no_look():
    eyes = samples([(0, at(HERE)), (1500, at(HERE))], 200, A_DEGREE / 5)
    shut = [Gaze(e.time_ns, nan, nan, 0.0) if 700 <= e.time_ns / MS < 900 else e for e in eyes]
    regions, tracks = follow(shut, (HERE,))
    assert set(tracks) == {1}
    assert regions[-1].left < HERE.left < HERE.right < regions[-1].right


@pytest.mark.parametrize(("confidence", "track"), [(0.5, 0), (0.7, 1)])
def test_doubtful_samples_are_no_looks(confidence: float, track: int):
    tracker, sees = RoiTracker(SENSOR), attention()
    for n in range(20):
        sees.follow(tracker, Gaze(n * 5 * MS, 0.5, 0.5, confidence), n * 5 * MS)
    assert tracker.track == track


@pytest.mark.parametrize(("age_ms", "track"), [(90, 1), (110, 0)])
def test_samples_older_than_max_age_are_no_looks(age_ms: int, track: int):
    tracker, sees = RoiTracker(SENSOR), attention(max_age_ms=100)
    for n in range(20):
        sees.follow(tracker, Gaze(n * 5 * MS, 0.5, 0.5), (n * 5 + age_ms) * MS)
    assert tracker.track == track


HALF = np.array([[0.5, 0, 3], [0, 0.5, 4], [0, 0, 1]])  # from another camera, of twice the size


@pytest.mark.parametrize("model", ["identity", "homography"])
def test_gaze_in_pixels_moves_as_the_same_gaze_in_shares_does(model: str):
    """A provider may speak in pixels, of the sensor or of a camera that nobody here knows."""
    eyes = samples([(0, at(HERE)), (500, at(HERE)), (530, at(THERE)), (1000, at(THERE))], hz=200)
    matrix = np.eye(3) if model == "identity" else HALF
    there = np.linalg.inv(matrix) @ GazeMap.scale(SENSOR).matrix
    mapped = Attention(GazeMap(model, matrix), SENSOR, VIEW_DEG)  # type: ignore[arg-type]
    said, plain = RoiTracker(SENSOR), attention()
    for eye in eyes:
        x, y, w = there @ (eye.x, eye.y, 1)
        wanted = plain.follow(RoiTracker(SENSOR), eye, eye.time_ns)
        got = mapped.follow(said, Gaze(eye.time_ns, x / w, y / w), eye.time_ns)
        assert wanted is not None
        assert got is not None
        assert (got.state, got.landed) == (wanted.state, wanted.landed)
        assert (got.gaze.x, got.gaze.y) == pytest.approx((wanted.gaze.x, wanted.gaze.y), abs=0.01)


def test_a_point_on_the_maps_horizon_is_no_look():
    tracker = RoiTracker(SENSOR)
    horizon = GazeMap("homography", np.array([[1, 0, 0], [0, 1, 0], [1, 0, -0.5]]))
    sees = Attention(horizon, SENSOR, VIEW_DEG)
    for n in range(20):
        movement = sees.follow(tracker, Gaze(n * 5 * MS, 0.5, 0.5), n * 5 * MS)
        assert movement is not None
        assert movement.state == "blink"
    assert tracker.track == 0


def test_gaze_that_lies_beside_the_sensor_for_a_second_is_said():
    tracker, sees = RoiTracker(SENSOR), attention()
    for n in range(300):
        sees.follow(tracker, Gaze(n * 5 * MS, 1.4, 0.5), n * 5 * MS)
        assert (sees.reason is None) == (n < 200)
    assert (sees.reason or "").startswith("off-sensor: ")
    sees.follow(tracker, Gaze(1500 * MS, 0.5, 0.5), 1500 * MS)
    for n in range(301, 400):
        sees.follow(tracker, Gaze(n * 5 * MS, 0.5, 0.5), n * 5 * MS)
    assert sees.reason is None


def test_what_the_eyes_do_is_told_in_sensor_pixels():
    tracker, sees = RoiTracker(SENSOR), attention()
    movement = sees.follow(tracker, Gaze(0, 0.25, 0.75, 0.9), 0)
    assert movement is not None
    assert (movement.state, movement.landed) == ("fixation", True)
    assert (movement.gaze.x, movement.gaze.y) == pytest.approx((159.5, 359.5))
    assert movement.gaze.confidence == 0.9
