"""The event filter: made eyes of which every movement is known, and Neon's own fixations."""

from __future__ import annotations

import os
from itertools import pairwise
from math import inf, isfinite, nan, radians, tan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasses_sdk.gaze.events import EventConfig, EventFilter, Movement
from glasses_sdk.types import Gaze
from tests.fixations import agreements, field_of_view

MS = 1_000_000
RATES = [10, 30, 60, 120, 200, 500, 1000]


def samples(degrees: np.ndarray, hz: float, noise: float = 0.0, seed: int = 0) -> list[Gaze]:
    """Of a path that is known at 1000 Hz, [n, 2]."""
    rng = np.random.default_rng(seed)
    every = np.arange(0, len(degrees), 1000 / hz)
    return [
        Gaze(round(t * MS), *(degrees[int(t)] + rng.normal(0, noise, 2)).tolist()) for t in every
    ]


def jumping(places: list[tuple[float, float]], dwell_ms: int = 500) -> np.ndarray:
    """From place to place; a saccade lasts 21 ms and 2.2 ms a degree (Carpenter 1988)."""
    path = [np.tile(places[0], (dwell_ms, 1))]
    for here, there in pairwise(places):
        size = float(np.hypot(there[0] - here[0], there[1] - here[1]))
        share = np.linspace(0, 1, round(21 + 2.2 * size))[:, None]
        smooth = share**2 * (3 - 2 * share)
        path += [np.array(here) + smooth * (np.array(there) - here), np.tile(there, (dwell_ms, 1))]
    return np.concatenate(path)


def take(all_samples: list[Gaze], config: EventConfig | None = None) -> list[Movement]:
    events = EventFilter(config)
    return [movement for sample in all_samples if (movement := events.take(sample))]


def landings(movements: list[Movement]) -> list[float]:
    """In ms."""
    return [one.gaze.time_ns / MS for one in movements if one.landed]


# What is seen


@pytest.mark.parametrize("hz", RATES)
def test_each_saccade_ends_in_one_landing(hz):
    places = [(0.0, 0.0), (10.0, 0.0), (10.0, -12.0), (-5.0, -3.0), (-17.0, 4.0)]
    path = jumping(places)
    movements = take(samples(path, hz, noise=0.05))
    still = np.abs(np.diff(path, axis=0)).max(axis=1) == 0
    arrived = np.flatnonzero(~still[:-1] & still[1:]) + 1
    first, *later = landings(movements)
    assert first == 0
    assert len(later) == len(arrived)
    late = np.array(later) - arrived
    assert late.min() >= -25  # it counts as arrived when it has become slow
    assert late.max() <= 30 + 2.1 * 1000 / hz


@pytest.mark.parametrize("hz", [200, 500, 1000])
@pytest.mark.parametrize("degrees", [5.0, 12.0, 25.0])
def test_eyes_slow_down_before_they_land_and_near_where_they_do(hz, degrees):
    movements = take(samples(jumping([(0.0, 0.0), (degrees, 0.0)]), hz, noise=0.05))
    landed_ms = landings(movements)[1]
    slowing = [one for one in movements if one.slowing]
    assert {one.state for one in slowing} == {"saccade"}
    first = slowing[0].gaze
    assert 5 <= landed_ms - first.time_ns / MS <= 30
    assert first.x > 0.75 * degrees


@pytest.mark.parametrize("hz", [500, 1000])
def test_eyes_that_turn_on_their_way_have_not_slowed_down(hz):
    home, out = np.zeros((500, 2)), np.linspace(0, 12, 30)[:, None] * [[1.0, 0.0]]
    movements = take(samples(np.concatenate([home, out, out[::-1], home]), hz, noise=0.02))
    back = [one for one in movements if 542 <= one.gaze.time_ns / MS <= 558]  # the window's half on
    assert {one.state for one in back} == {"saccade"}
    assert not any(one.slowing for one in back)


@pytest.mark.parametrize("hz", [60, 200, 1000])
def test_what_is_on_the_way_is_a_saccade(hz):
    path = jumping([(0.0, 0.0), (20.0, 0.0)])
    movements = take(samples(path, hz, noise=0.05))
    middle = 500 + 33  # of the 65 ms
    on_the_way = min(movements, key=lambda one: abs(one.gaze.time_ns / MS - middle))
    assert on_the_way.state == "saccade"
    states = [one.state for one in movements if not 490 < one.gaze.time_ns / MS < 640]
    assert set(states) == {"fixation"}


@pytest.mark.parametrize("hz", RATES)
def test_smooth_pursuit_is_kept(hz):
    """15 degrees a second, to and fro: no saccade, and the point stays with the eyes."""
    t = np.arange(4000) / 1000
    path = np.stack([15 * np.where(t < 2, t, 4 - t), 0 * t], axis=1)
    movements = take(samples(path, hz, noise=0.05))
    assert "saccade" not in {one.state for one in movements}
    assert landings(movements) == [0]
    steady = [one for one in movements if 500 < one.gaze.time_ns / MS < 1900]
    assert {one.state for one in steady} == {"pursuit"}
    late = [path[one.gaze.time_ns // MS, 0] - one.gaze.x for one in steady]
    assert max(late) < 1.0


@pytest.mark.parametrize("hz", [30, 60, 200, 1000])
def test_pursuit_that_gathers_speed_may_be_faster_than_a_slow_saccade(hz):
    """Up to 90 degrees a second; no threshold for what starts from rest is above 60."""
    t = np.arange(1800) / 1000
    path = np.stack([50 * t**2 / 2, 0 * t], axis=1)
    movements = take(samples(path, hz, noise=0.02))
    assert "saccade" not in {one.state for one in movements}
    assert movements[-1].state == "pursuit"


def test_a_saccade_is_seen_on_top_of_pursuit():
    path = jumping([(0.0, 0.0), (0.0, 8.0)])
    path[:, 0] += 15 * np.arange(len(path)) / 1000
    movements = take(samples(path, 200, noise=0.05))
    assert len(landings(movements)) == 2
    assert 490 < landings(movements)[1] < 590


def test_a_blink_is_one_until_the_lid_is_up_and_ends_in_a_landing():
    eyes = samples(jumping([(1.0, 2.0)], 1000), 200)
    shut = [
        Gaze(one.time_ns, nan, nan, 0.0) if 400 <= one.time_ns / MS < 550 else one for one in eyes
    ]
    movements = take(shut)
    blinks = [one.gaze for one in movements if one.state == "blink"]
    assert {one.time_ns / MS for one in blinks} == set(range(400, 570, 5))
    assert all(one.confidence == 0 and not isfinite(one.x) for one in blinks)
    assert landings(movements) == [0, 570]


def test_doubtful_samples_are_a_blink():
    (doubtful,) = take([Gaze(0, 1.0, 1.0, 0.5)])
    assert doubtful.state == "blink"


def test_a_long_pause_is_a_blink():
    movements = take([Gaze(t * MS, 0.0, 0.0) for t in (0, 10, 20, 320, 330)])
    assert landings(movements) == [0, 320]


# The point


def test_a_fixation_is_calmed_and_stays_where_it_is():
    eyes = samples(jumping([(3.0, -2.0)], 3000), 200, noise=0.3)
    movements = take(eyes)
    raw = np.array([(one.x, one.y) for one in eyes])[40:]
    calm = np.array([(one.gaze.x, one.gaze.y) for one in movements])[40:]
    assert (calm.std(axis=0) < 0.5 * raw.std(axis=0)).all()
    assert calm.mean(axis=0) == pytest.approx([3.0, -2.0], abs=0.1)


def test_nothing_is_dragged_over_a_saccade():
    eyes = samples(jumping([(0.0, 0.0), (15.0, 0.0)]), 200, noise=0.05)
    for sample, movement in zip(eyes, take(eyes), strict=True):
        if movement.landed or movement.state == "saccade":
            assert movement.gaze == sample
        else:
            assert abs(movement.gaze.x - sample.x) < 1


def test_the_threshold_adapts_to_the_noise_of_the_tracker():
    """A calm tracker shows a saccade of 1.5 degrees; a noisy one at rest shows hardly any."""
    calm = take(samples(jumping([(0.0, 0.0), (1.5, 0.0)], 1000), 200, noise=0.02))
    assert len(landings(calm)) == 2
    noisy = samples(jumping([(0.0, 0.0)], 20_000), 200, noise=0.35)
    adapted = sum(one.state == "saccade" for one in take(noisy))
    fixed = EventConfig(fastest_deg_s=30)  # as low as it goes
    assert adapted < 0.3 * sum(one.state == "saccade" for one in take(noisy, fixed))
    assert adapted < 0.05 * len(noisy)


def test_the_plane_of_a_camera_gives_the_same_as_degrees():
    view = 84.0, 68.0
    eyes = samples(jumping([(0.0, 0.0), (12.0, 5.0), (-20.0, 3.0)]), 200, noise=0.05)
    wide, high = (2 * tan(radians(side) / 2) for side in view)
    plane = [
        Gaze(e.time_ns, 0.5 + tan(radians(e.x)) / wide, 0.5 + tan(radians(e.y)) / high)
        for e in eyes
    ]
    one, other = take(eyes), take(plane, EventConfig(field_of_view_deg=view))
    same = [(a.state, a.landed) == (b.state, b.landed) for a, b in zip(one, other, strict=True)]
    assert np.mean(same) > 0.99
    assert landings(one) == landings(other)
    assert all(0 < movement.gaze.x < 1 for movement in other)


# What does not count


def test_what_is_old_of_the_future_or_out_of_order_does_not_count():
    events = EventFilter(EventConfig(max_age_ms=100))
    now = 10_000 * MS
    assert events.take(Gaze(now - 101 * MS, 0.0, 0.0), now) is None
    assert events.take(Gaze(now + 60 * MS, 0.0, 0.0), now) is None
    assert events.take(Gaze(now - 50 * MS, 0.0, 0.0), now)
    assert events.take(Gaze(now - 60 * MS, 0.0, 0.0), now) is None
    assert events.take(Gaze(now - 50 * MS, 0.0, 0.0), now) is None
    assert events.take(Gaze(now - 45 * MS, 0.0, 0.0), now)


def test_a_clock_that_is_set_back_is_followed():
    eyes = samples(jumping([(0.0, 0.0)], 500), 200)
    later = [Gaze(one.time_ns + 3_600_000 * MS, one.x, one.y) for one in eyes]
    movements = take([*later, *eyes])
    assert len(movements) == 2 * len(eyes)
    assert movements[len(eyes)].landed


def test_a_burst_changes_nothing():
    eyes = samples(jumping([(0.0, 0.0), (10.0, 0.0)]), 200, noise=0.05)
    burst = [
        Gaze(one.time_ns + 1000 * k, one.x + 30 * (k > 0), one.y) for one in eyes for k in range(20)
    ]
    assert take(burst) == take(eyes)


def test_each_sample_is_judged_by_those_before_it_alone():
    eyes = samples(jumping([(0.0, 0.0), (10.0, 0.0), (3.0, 3.0)]), 200, noise=0.1)
    whole = take(eyes)
    for n in range(0, len(eyes), 17):
        assert take(eyes[:n]) == whole[:n]


numbers = st.floats(allow_nan=False, allow_infinity=False)
anything = st.one_of(
    st.builds(Gaze, st.integers(-(10**12), 10**12), numbers, numbers, st.floats(0.01, 1)),
    st.builds(Gaze, st.integers(0, 10**9), st.floats(-30, 30), st.floats(-30, 30)),
    st.builds(lambda t: Gaze(t, nan, nan, 0.0), st.integers(0, 10**9)),
)


@given(st.lists(anything, max_size=60), st.booleans())
def test_nothing_that_comes_does_harm(eyes, plane):
    """Whatever came, the filter sees an ordinary saccade afterwards."""
    events = EventFilter(EventConfig(field_of_view_deg=(80, 60) if plane else None))
    for sample in eyes:
        movement = events.take(sample)
        if movement is None:
            continue
        assert movement.gaze.time_ns == sample.time_ns
        assert (movement.gaze.confidence == 0) == (movement.state == "blink")
        assert not (movement.landed and movement.state in ("saccade", "blink"))
    after = 10**13
    share = 1 / 100 if plane else 1.0
    path = jumping([(0.0, 0.0), (20.0, 0.0)], 700)
    later = [
        events.take(Gaze(s.time_ns + after, 0.5 * plane + s.x * share, 0.5 * plane + s.y * share))
        for s in samples(path, 200)
    ]
    assert sum(one.landed for one in later if one) == 2


@pytest.mark.parametrize("view", [(0, 60), (180, 60), (nan, 60)])
def test_an_impossible_field_of_view_is_refused(view):
    with pytest.raises(ValueError, match="field of view lies between 0 and 180"):
        EventConfig(field_of_view_deg=view)


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="0 < slowest_deg_s <= fastest_deg_s is wanted"):
        EventConfig(slowest_deg_s=70)


@pytest.mark.parametrize(
    "wrong",
    [{"beta": inf}, {"beta": -5}, {"settle_ms": -1}, {"smallest_deg": nan}, {"gap_ms": 0}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EventConfig(**wrong)


# A real recording


def test_it_agrees_with_neons_own_fixations():
    """`python -m tests.fixations` prints the figures; here they are less a margin."""
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA does not say where the recordings are")
    neon = Path(folder) / "gaze/neon"
    config = EventConfig(field_of_view_deg=field_of_view(neon))
    of_samples, of_landings = agreements(neon, config)
    assert of_samples.precision > 0.70
    assert of_samples.recall > 0.82
    assert of_landings.precision > 0.30
    assert of_landings.recall > 0.85
