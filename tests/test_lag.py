"""What is late, and what turns: masks fused at their own time, and a camera on a head."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import cos, radians, sin

import numpy as np
import pytest

from glasses_sdk.geometry import apply
from glasses_sdk.looks import Looks
from glasses_sdk.tracker import RoiTracker, TrackerConfig
from glasses_sdk.turning import focal_px, homography
from glasses_sdk.types import HeadPose, Mask, Roi
from tests.test_tracker import FRAME_NS, SENSOR, seen_by_a_perfect_network

MS = 1_000_000
SIZES = TrackerConfig(start_sizes=(0.5, 0.25))  # 240 and 120 pixels


def moving(k: float) -> Roi:
    """A thing that moves 6 pixels a frame to the right, 2 down."""
    return Roi.around(120 + 6 * k, 120 + 2 * k, 80, 60)


def run(lag: int, frames: int, looks: bool) -> list[float]:
    """How far the middle of each region is from the thing's; masks come `lag` frames late."""
    tracker, late, errors = RoiTracker(SENSOR), list[Mask](), list[float]()
    for k in range(frames):
        for n in range(6 if looks or k < 1 else 0):
            look_ns = k * FRAME_NS - (6 - n) * 5 * MS
            tracker.look(moving(look_ns / FRAME_NS).centre, look_ns)
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        errors.append(float(np.hypot(*np.subtract(region.centre, moving(k).centre))))
        late.append(seen_by_a_perfect_network(region, moving(k), k))
        if k >= lag:
            tracker.see(late[k - lag])
    return errors


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("lag", [0, 1, 2, 4])
def test_the_region_is_where_the_thing_will_be_however_late_the_masks_are(lag: int, looks: bool):
    """Counted at its arrival instead of its capture, a mask would be 6.3 pixels off a frame."""
    errors = run(lag, 60, looks)
    assert np.mean(errors[30:]) < 4.0


def test_a_mask_of_an_earlier_size_does_not_use_up_a_later_one():
    tracker, thing = RoiTracker(SENSOR, SIZES), Roi.around(320, 240, 60, 50)
    tracker.look(thing.centre, 0)
    first = tracker.predict(0)
    assert first is not None
    for k in range(3):  # the same region again and again, as a sensor sends that is slow to turn
        tracker.see(seen_by_a_perfect_network(first, thing, k))
        second = tracker.predict((k + 1) * FRAME_NS)
    assert second is not None
    assert second.width < 0.6 * first.width


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
def test_each_size_is_asked_for_without_waiting_for_the_mask_of_the_one_before(lag: int):
    tracker, thing, late = RoiTracker(SENSOR, SIZES), Roi.around(320, 240, 60, 50), list[Mask]()
    tracker.look(thing.centre, 0)
    widths = list[float]()
    for k in range(lag + 3):
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        widths.append(region.width)
        late.append(seen_by_a_perfect_network(region, thing, k))
        if k >= lag:
            tracker.see(late[k - lag])
    assert widths[:-1] == [240] + (lag + 1) * [120]
    assert widths[-1] < 96  # two masks are enough to know the thing, however late they are


def test_a_size_whose_mask_is_lost_is_asked_for_again():
    tracker, thing = RoiTracker(SENSOR, SIZES), Roi.around(320, 240, 60, 50)
    tracker.look(thing.centre, 0)
    widths = list[float]()
    for k in range(4):
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        widths.append(region.width)
        if k > 0:
            tracker.see(seen_by_a_perfect_network(region, thing, k))
    assert widths[:3] == [240, 120, 240]
    assert widths[3] < 96


def test_a_settling_mask_of_a_size_that_was_tried_teaches_nothing_once_the_thing_is_known():
    """It comes late, and by then the network may have seen something else in it."""
    tracker, thing = RoiTracker(SENSOR, SIZES), Roi.around(320, 240, 60, 50)
    tracker.look(thing.centre, 0)
    for k in range(4):
        tried = tracker.predict(k * FRAME_NS)
        assert tried is not None
        tracker.see(seen_by_a_perfect_network(tried, thing, k))
    before = tracker.predict(4 * FRAME_NS)
    wall = Roi.around(320, 240, 200, 180)
    for k in range(4, 8):
        old = seen_by_a_perfect_network(Roi.around(320, 240, 240, 240), wall, k)
        tracker.see(replace(old, roi_state="settling"))
    assert tracker.predict(4 * FRAME_NS) == before


def test_late_masks_move_the_region_less_often():
    """Each move costs as many frames as they are late."""
    moves = dict[int, int]()
    for lag in (0, 4):
        tracker, late, regions = RoiTracker(SENSOR), list[Mask](), list[Roi]()
        for k in range(60):
            thing = Roi.around(200 + 2 * k, 240, 80, 80)
            tracker.look(thing.centre, k * FRAME_NS)
            region = tracker.predict(k * FRAME_NS)
            assert region is not None
            regions.append(region)
            late.append(seen_by_a_perfect_network(region, thing, k))
            if k >= lag:
                tracker.see(late[k - lag])
        moves[lag] = sum(one != other for one, other in pairwise(regions[20:]))
    assert 0 < moves[4] < 0.7 * moves[0]


def test_a_look_beside_the_middle_draws_the_region_less_where_masks_come_late():
    drawn = dict[int, float]()
    for lag in (0, 3):
        tracker, thing, late = RoiTracker(SENSOR), Roi.around(320, 240, 200, 200), list[Mask]()
        for k in range(40):
            tracker.look((360, 240), k * FRAME_NS, landed=not k)
            region = tracker.predict(k * FRAME_NS)
            assert region is not None
            late.append(seen_by_a_perfect_network(region, thing, k))
            if k >= lag:
                tracker.see(late[k - lag])
        drawn[lag] = region.centre[0] - thing.centre[0]
    assert 0 < drawn[3] < 0.5 * drawn[0]


# The camera turns with the head


def turned(degrees: float) -> tuple[float, float, float, float]:
    """To the right."""
    half = radians(degrees) / 2
    return 0.0, sin(half), 0.0, cos(half)


def seen_while_turning(deg_s: float, k: float, field_deg: float) -> tuple[float, float]:
    """Where a far thing, ahead at frame 0, is in the picture."""
    focal, middle = focal_px(SENSOR, field_deg), (SENSOR.width / 2 - 0.5, SENSOR.height / 2 - 0.5)
    step = turned(deg_s * k * FRAME_NS / 1e9)
    return apply(homography(turned(0), step, focal, SENSOR), *middle)


def errors_while_turning(tell: bool, deg_s: float, field_deg: float) -> list[float]:
    """The head rests, then turns; masks come two frames late."""
    tracker, late, errors = RoiTracker(SENSOR, None, field_deg), list[Mask](), list[float]()
    begins = 20
    for k in range(begins + 8):
        place = seen_while_turning(deg_s, max(k - begins, 0), field_deg)
        for n in range(10 if tell else 0):
            pose_ns = k * FRAME_NS - (9 - n) * FRAME_NS // 10
            way = deg_s * max(pose_ns - begins * FRAME_NS, 0) / 1e9
            tracker.turn(HeadPose(pose_ns, turned(way)))
        if k == 0:
            tracker.look(place, 0)
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        errors.append(abs(region.centre[0] - place[0]))
        late.append(seen_by_a_perfect_network(region, Roi.around(*place, 70, 70), k))
        if k >= 2:
            tracker.see(late[k - 2])
    return errors[begins + 1 :]


@pytest.mark.parametrize("field_deg", [50.0, 80.0])
def test_a_head_that_turns_takes_the_region_along(field_deg: float):
    told = errors_while_turning(True, 30, field_deg)
    untold = errors_while_turning(False, 30, field_deg)
    assert max(told) < 6
    assert max(untold) > 3 * max(told)


def test_a_look_stays_on_its_object_while_the_head_turns():
    """The eyes hold a thing at rest; in the picture it wanders, and so does the point."""
    tracker = RoiTracker(SENSOR)
    for k in range(30):
        place = seen_while_turning(25, k, 66)
        tracker.turn(HeadPose(k * FRAME_NS, turned(25 * k * FRAME_NS / 1e9)))
        tracker.look(place, k * FRAME_NS)
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        tracker.see(seen_by_a_perfect_network(region, Roi.around(*place, 40, 40), k))
    assert tracker.track == 1


def test_what_the_head_turns_its_back_on_is_released():
    tracker = RoiTracker(SENSOR)
    for n in range(3):
        tracker.turn(HeadPose(n * 10 * MS, turned(0)))
    tracker.look((320, 240), 20 * MS)
    assert tracker.predict(20 * MS) is not None
    for n in range(1, 90):
        tracker.turn(HeadPose((20 + n * 10) * MS, turned(2 * n)))
    assert tracker.predict(910 * MS) is None
    assert tracker.track == 0


# Gaze at the time of a picture


def test_gaze_is_interpolated_to_the_time_of_a_picture():
    looks = Looks()
    for n in range(10):
        looks.add(n * 8 * MS, (100 + 16.0 * n, 50 - 4.0 * n), landed=n == 0)
    assert looks.at(30 * MS) == pytest.approx((160, 35))
    assert looks.at(32 * MS) == (164, 34)
    assert looks.at(80 * MS) == (244, 14)  # a moment after the newest


def test_before_the_landing_and_long_after_the_last_look_nobody_knows():
    looks = Looks()
    looks.add(0, (0, 0), landed=True)
    looks.add(50 * MS, (500, 400), landed=True)
    assert looks.at(25 * MS) is None
    assert looks.at(49 * MS) is None
    assert looks.at(50 * MS) == (500, 400)
    assert looks.at(300 * MS) is None
    assert Looks().at(0) is None


def test_no_line_is_drawn_through_a_blink():
    looks = Looks()
    looks.add(0, (0, 0), landed=False)
    looks.add(200 * MS, (100, 100), landed=False)
    assert looks.at(100 * MS) is None


def test_late_masks_do_not_make_the_region_wider_than_those_in_time():
    """What is seen so late is uncertain for long, and a region as wide as that shows more."""
    widths = list[float]()
    for lag in (0, 4):
        tracker, late = RoiTracker(SENSOR, TrackerConfig(deadband=0.0)), list[Mask]()
        for start in (0, 40):  # the second thing is begun with what the first has taught
            thing = Roi.around(200 + 5 * start, 240, 80, 80)
            for k in range(start, start + 40):
                tracker.look(thing.centre, k * FRAME_NS, landed=k == start)
                region = tracker.predict(k * FRAME_NS)
                assert region is not None
                late.append(seen_by_a_perfect_network(region, thing, k))
                if k >= lag:
                    tracker.see(late[k - lag])
                if k == 40 + lag + 3:  # just settled
                    widths.append(region.width)
    in_time, lagging = widths
    assert lagging < 1.02 * in_time, widths
