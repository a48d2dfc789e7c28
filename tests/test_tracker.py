"""The region servo: laws, oracles and tables; time is an argument, so no test waits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk import landing
from glasses_sdk.geometry import visible
from glasses_sdk.tracker import RoiTracker, TrackerConfig
from glasses_sdk.types import HeadPose, Mask, Roi, Size

SENSOR = Size(640, 480)
FRAME_NS = 33_333_333


def seen_by_a_perfect_network(roi: Roi, thing: Roi, k: int, score: float = 0.95) -> Mask:
    """The mask of a filled rectangle, exact to a cell."""
    region = visible(roi, SENSOR)
    assert region is not None
    x = region.left + (np.arange(96) + 0.5) * region.width / 96
    y = region.top + (np.arange(96) + 0.5) * region.height / 96
    across = (thing.left <= x) & (x < thing.right)
    down = (thing.top <= y) & (y < thing.bottom)
    return Mask(down[:, None] & across[None], region, SENSOR, k * FRAME_NS, k, score)


def follow(servo: RoiTracker, things: list[Roi | None], looks: range, first: int = 0) -> list[Mask]:
    """Run the loop over a thing that is at things[k] in frame k, looked at in `looks`."""
    masks = []
    for k, thing in enumerate(things, first):
        if thing and k in looks:
            servo.look(thing.centre, k * FRAME_NS - 10_000_000)
            servo.look(thing.centre, k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS) or Roi(0, 0, SENSOR.width, SENSOR.height)
        masks.append(servo.see(seen_by_a_perfect_network(roi, thing or Roi(-99, -99, 1, 1), k)))
    return masks


def iou(mask: Mask, thing: Roi) -> float:
    full, truth = mask.full(), np.zeros((SENSOR.height, SENSOR.width), bool)
    truth[int(thing.top) : int(thing.bottom), int(thing.left) : int(thing.right)] = True
    return (full & truth).sum() / (full | truth).sum()


@pytest.mark.parametrize(("width", "height"), [(60, 60), (40, 160), (200, 90), (330, 300)])
def test_one_look_becomes_the_whole_objects_mask_within_three_frames(width: int, height: int):
    thing = Roi.around(320, 240, width, height)
    masks = follow(RoiTracker(SENSOR), [thing] * 4, range(1))
    assert iou(masks[3], thing) > 0.85


def test_the_region_takes_the_objects_own_proportions():
    servo = RoiTracker(SENSOR)
    thing = Roi.around(320, 240, 60, 180)
    follow(servo, [thing] * 12, range(12))
    region = servo.predict(12 * FRAME_NS)
    assert region is not None
    assert region.height / region.width == pytest.approx(3, rel=0.15)


def test_after_the_last_look_the_region_follows_the_object_and_says_held():
    things = [Roi(100 + 4 * k, 150, 90, 90) for k in range(60)]
    masks = follow(RoiTracker(SENSOR), things, range(3))
    assert {mask.track for mask in masks} == {1}
    assert masks[2].roi_state == "stable"
    assert masks[-1].roi_state == "held"
    assert iou(masks[-1], things[-1]) > 0.8


def _width_after(masks: int, width: float, score: float = 0.95) -> float:
    """Of the region, when so many masks of that width and score came after the eyes had left."""
    servo, thing = RoiTracker(SENSOR, TrackerConfig(deadband=0.0)), Roi.around(320, 240, 90, 90)
    follow(servo, [thing] * 15, range(3))
    for k in range(15, 15 + masks):
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        seen = Roi.around(320, 240, width, 90)
        servo.see(seen_by_a_perfect_network(roi, seen, k, score))
    region = servo.predict((15 + masks) * FRAME_NS)
    assert region is not None
    return region.width


def test_without_eyes_a_region_shrinks_more_slowly_than_it_grows():
    same, smaller, larger = (_width_after(1, width) for width in (90, 80, 101.25))
    assert 0 < same - smaller < 0.7 * (larger - same)


def test_without_eyes_a_region_is_wider_where_its_masks_are_unsure():
    assert _width_after(4, 90, score=0.66) > 1.1 * _width_after(4, 90)


def test_without_eyes_unsure_masks_are_followed_as_far_as_sure_ones():
    sure, unsure = (_width_after(3, 140, score) for score in (0.95, 0.75))
    assert unsure >= sure > 1.3 * _width_after(3, 90)


def test_a_thing_that_vanishes_is_released_and_its_masks_are_empty():
    things: list[Roi | None] = [Roi(280, 200, 80, 80)] * 10
    masks = follow(RoiTracker(SENSOR), things + [None] * 30, range(10))
    assert masks[9].track == 1
    assert (masks[-1].track, masks[-1].area, masks[-1].score) == (0, 0, 0.0)


@pytest.mark.parametrize(("left", "kept"), [(300, True), (370, True), (381, False)])
def test_after_empty_masks_only_what_is_where_it_was_is_the_same_thing(left: int, kept: bool):
    """The region has grown meanwhile, and shows what stands beside."""
    things: list[Roi | None] = [Roi(280, 200, 80, 80)] * 10
    later = [Roi(left, 205, 20, 70)] * 20
    masks = follow(RoiTracker(SENSOR), things + [None] * 5 + later, range(10))
    assert bool(masks[-1].track) == kept


def test_doubtful_masks_release_a_track_as_empty_ones_do():
    servo, thing = RoiTracker(SENSOR), Roi(280, 200, 80, 80)
    follow(servo, [thing] * 10, range(10))
    for k in range(10, 40):
        if roi := servo.predict(k * FRAME_NS):
            servo.see(seen_by_a_perfect_network(roi, thing, k, score=0.3))
    assert servo.track == 0


@pytest.mark.parametrize(("thing", "again"), [((30, 60), False), ((60, 260), True)])
def test_masks_that_stay_unsure_are_tried_again_at_sizes_that_can_show_the_thing(
    thing: tuple[float, float], again: bool
):
    servo, box = RoiTracker(SENSOR), Roi.around(320, 240, *thing)
    regions: list[Roi] = []
    for k in range(12):
        servo.look(box.centre, k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        regions.append(roi)
        servo.see(seen_by_a_perfect_network(roi, box, k, score=0.7))
    squares = [k for k, roi in enumerate(regions) if abs(roi.width - roi.height) < 2]
    first, *later = squares[2:4]
    assert squares[:2] == [0, 1]
    assert first >= 5  # not at once
    assert later == [first + 1]
    doubted = regions[first - 1].height
    large, small = (share * SENSOR.height for share in TrackerConfig().start_sizes)
    sides = [min(1.4 * doubted, SENSOR.height), 0.9 * doubted] if again else [large, small]
    assert [regions[k].width for k in (first, first + 1)] == pytest.approx(sides, abs=2)
    assert servo.track == 1


def test_what_is_doubted_is_kept_where_the_other_sizes_show_only_specks():
    servo, box, speck = (
        RoiTracker(SENSOR),
        Roi.around(320, 240, 60, 260),
        Roi.around(320, 240, 9, 9),
    )
    tried = 0
    for k in range(20):
        servo.look(box.centre, k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        if tried == 2:
            assert roi.height > box.height
            return
        again = k > 3 and abs(roi.width - roi.height) < 2
        tried += again
        shown, score = (speck, 0.6) if again else (box, 0.7)
        servo.see(seen_by_a_perfect_network(roi, shown, k, score=score))
    pytest.fail("nothing else was tried")


def test_a_thing_that_has_gone_is_not_kept_for_having_been_doubted():
    servo, box = RoiTracker(SENSOR), Roi.around(320, 240, 60, 180)
    for k in range(30):
        servo.look(box.centre, k * FRAME_NS - 5_000_000)
        if roi := servo.predict(k * FRAME_NS):
            tried = k > 5 and abs(roi.width - roi.height) < 2
            mask = seen_by_a_perfect_network(roi, box, k, score=0.5 if tried else 0.7)
            shown = servo.see(mask)
            if tried:
                assert not shown.area
                if servo.track == 0:
                    return
    pytest.fail("it is still followed")


@pytest.mark.parametrize(("width", "beside", "kept"), [(12, 8, True), (60, 40, False)])
def test_looks_beside_the_middle_speak_against_it_only_as_far_as_looks_are_exact(
    width: int, beside: int, kept: bool
):
    servo, box = RoiTracker(SENSOR), Roi.around(320, 240, width, 180)
    follow(servo, [box] * 4, range(4))
    tried = False
    for k in range(4, 24):
        servo.look((320 + beside, 240), k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        tried = tried or abs(roi.width - roi.height) < 2
        servo.see(seen_by_a_perfect_network(roi, box, k, score=0.9))
    assert tried is not kept


@pytest.mark.parametrize(("hole", "kept"), [(16, True), (70, False)])
def test_looks_that_fall_beside_all_of_a_mask_speak_against_it(hole: int, kept: bool):
    servo, box = RoiTracker(SENSOR), Roi.around(320, 240, 180, 180)
    gap = Roi.around(320, 240, hole, hole)
    follow(servo, [box] * 4, range(4))
    tried = False
    for k in range(4, 24):
        servo.look((320, 240), k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        tried = tried or roi.width > 300
        mask = seen_by_a_perfect_network(roi, box, k, score=0.9)
        servo.see(replace(mask, bits=mask.bits & ~seen_by_a_perfect_network(roi, gap, k).bits))
    assert tried is not kept


def test_one_look_alone_is_no_reason_to_give_up_masks_that_are_rather_sure():
    servo, thing = RoiTracker(SENSOR), Roi.around(320, 240, 60, 180)
    servo.look(thing.centre, 0)
    for k in range(30):
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None, k
        servo.see(seen_by_a_perfect_network(roi, thing, k, score=0.75))
    assert servo.track == 1


def test_the_region_has_more_room_while_the_objects_place_is_uncertain():
    servo, thing = RoiTracker(SENSOR, TrackerConfig(deadband=0.0)), Roi.around(320, 240, 120, 120)
    regions = [mask.roi for mask in follow(servo, [thing] * 30, range(1))]
    still_looked_at, left_alone = regions[7], regions[-1]
    assert thing.width * 1.23 < still_looked_at.width < regions[2].width - 3
    assert left_alone.width == pytest.approx(still_looked_at.width, abs=2)


def test_the_region_has_more_room_while_the_masks_are_unsure():
    thing, widths = Roi.around(320, 240, 120, 120), []
    for score in (0.95, 0.85):
        servo = RoiTracker(SENSOR, TrackerConfig(deadband=0.0))
        servo.look(thing.centre, 0)
        for k in range(20):
            roi = servo.predict(k * FRAME_NS)
            assert roi is not None
            servo.see(seen_by_a_perfect_network(roi, thing, k, score=score))
        widths.append(roi.width)
    sure, unsure = widths
    assert unsure > 1.05 * sure, widths


def _on_a_picture_frame(masks: int) -> RoiTracker:
    """It has seen a frame around something else so often, its bars 50 pixels wide."""
    servo, box = RoiTracker(SENSOR), Roi(200, 120, 240, 240)
    for k in range(masks):
        servo.look((225, 240), k * FRAME_NS - 5_000_000)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        around = seen_by_a_perfect_network(roi, box, k)
        inside = seen_by_a_perfect_network(roi, Roi(250, 170, 140, 140), k)
        servo.see(Mask(around.bits & ~inside.bits, around.roi, SENSOR, around.time_ns, k, 0.95))
    return servo


@pytest.mark.parametrize(
    ("x", "landed", "track"),
    [(320, True, 2), (320, False, 1), (222, True, 1), (240, True, 1), (275, True, 2)],
)
def test_eyes_that_land_in_its_box_and_beside_its_mask_mean_something_else(
    x: float, landed: bool, track: int
):
    servo = _on_a_picture_frame(10)
    assert servo.track == 1
    servo.look((x, 240), 10 * FRAME_NS, landed)
    assert servo.track == track


def test_a_landing_elsewhere_is_a_new_track_and_its_region_is_there_at_once():
    servo, here, there = RoiTracker(SENSOR), Roi(100, 100, 80, 80), Roi(480, 340, 60, 60)
    follow(servo, [here] * 10, range(10))
    servo.look(there.centre, 10 * FRAME_NS, landed=True)
    assert servo.track == 2
    region = servo.predict(10 * FRAME_NS)
    assert region is not None
    assert region.left < there.left < there.right < region.right


def test_a_landing_on_the_same_object_changes_nothing():
    servo, here = RoiTracker(SENSOR), Roi(100, 100, 80, 80)
    follow(servo, [here] * 10, range(10))
    before = servo.predict(10 * FRAME_NS)
    servo.look((115, 160), 10 * FRAME_NS, landed=True)
    assert servo.track == 1
    assert servo.predict(10 * FRAME_NS) == before


def test_eyes_that_are_about_to_land_are_awaited_there():
    servo, here, there = RoiTracker(SENSOR), Roi(100, 100, 80, 80), Roi(460, 250, 60, 60)
    follow(servo, [here] * 10, range(10))
    start_ns = 9 * FRAME_NS
    for ms, x in ((5, 400), (10, 455), (15, 480)):
        servo.approach((x, 270), start_ns + ms * 1_000_000)
    first = servo.predict(10 * FRAME_NS)
    assert first is not None
    x, y = first.centre
    assert math.hypot(x - 480, y - 270) < 2  # where they were last, not where that would lead
    started = servo.track
    assert started > 1
    shown = servo.see(seen_by_a_perfect_network(first, there, 10))
    assert (shown.track, shown.area > 0) == (started, True)
    servo.look(there.centre, 10 * FRAME_NS + 5_000_000, landed=True)
    second = servo.predict(11 * FRAME_NS)
    assert servo.track == started
    assert second is not None
    assert second.width < first.width  # the first size has been tried already
    assert second.centre == pytest.approx(there.centre, abs=1)


def test_eyes_that_turn_back_on_their_way_keep_the_object():
    servo, here = RoiTracker(SENSOR), Roi(100, 100, 80, 80)
    follow(servo, [here] * 10, range(10))
    before = servo.predict(10 * FRAME_NS)
    servo.approach((400, 300), 10 * FRAME_NS + 5_000_000)
    late = seen_by_a_perfect_network(servo.predict(11 * FRAME_NS) or here, here, 11)
    on_the_way = servo.track
    servo.look(here.centre, 11 * FRAME_NS + 5_000_000, landed=True)
    assert (servo.track, on_the_way) == (1, 2)
    assert servo.see(late).track == 2  # of a region that nobody asks for any more
    after = servo.predict(12 * FRAME_NS)
    assert before is not None
    assert after is not None
    assert after.centre == pytest.approx(before.centre, abs=2)


def test_eyes_on_their_way_within_the_object_change_nothing():
    servo, here = RoiTracker(SENSOR), Roi(100, 100, 80, 80)
    follow(servo, [here] * 10, range(10))
    before = servo.predict(10 * FRAME_NS)
    servo.approach((115, 160), 10 * FRAME_NS)
    assert servo.track == 1
    assert servo.predict(10 * FRAME_NS) == before


def test_what_is_tapped_is_not_left_for_eyes_on_their_way():
    servo = RoiTracker(SENSOR)
    servo.take((100, 100), 0)
    servo.approach((480, 340), FRAME_NS)
    assert servo.track == 1


@pytest.mark.parametrize("point", [(-5, 10), (10, 481), (float("nan"), 100)])
def test_eyes_on_their_way_beside_the_sensor_start_nothing(point: tuple[float, float]):
    servo = RoiTracker(SENSOR)
    servo.approach(point, 0)
    assert servo.predict(FRAME_NS) is None


def test_eyes_that_land_beside_the_very_first_masks_mean_something_else():
    servo = _on_a_picture_frame(2)
    servo.look((320, 240), 2 * FRAME_NS, landed=True)
    assert servo.track == 2


@pytest.mark.parametrize(("away_ms", "track"), [(190, 1), (210, 2)])
def test_eyes_that_wander_off_for_less_than_linger_ms_keep_the_object(away_ms: int, track: int):
    """They slide off it, and land nowhere."""
    servo, here = RoiTracker(SENSOR, TrackerConfig(linger_ms=200)), Roi(100, 100, 80, 80)
    follow(servo, [here] * 10, range(10))
    start_ns = 10 * FRAME_NS
    for ms in range(0, away_ms + 1, 10):
        servo.look((400, 300), start_ns + ms * 1_000_000)
    servo.look(here.centre, start_ns + (away_ms + 5) * 1_000_000)
    assert servo.track == track


def test_each_time_that_they_wander_off_counts_anew():
    servo, here = RoiTracker(SENSOR, TrackerConfig(linger_ms=200)), Roi(100, 100, 80, 80)
    follow(servo, [here] * 10, range(10))
    for n in range(100):
        point = here.centre if n % 10 == 0 else (400, 300)
        servo.look(point, 10 * FRAME_NS + n * 10_000_000)
    assert servo.track == 1


@pytest.mark.parametrize("point", [(-5, 10), (10, 481), (float("inf"), 100)])
def test_looks_beside_the_sensor_start_nothing(point: tuple[float, float]):
    servo = RoiTracker(SENSOR)
    servo.look(point, 0, landed=True)
    assert servo.track == 0
    assert servo.predict(FRAME_NS) is None


def test_a_look_that_is_older_than_the_newest_does_not_count():
    servo = RoiTracker(SENSOR)
    servo.look((100, 100), 50_000_000)
    servo.look((500, 400), 40_000_000, landed=True)
    assert servo.track == 1


def test_a_mask_of_the_region_before_keeps_the_number_of_its_own_object():
    servo, here, there = RoiTracker(SENSOR), Roi(60, 60, 80, 80), Roi(500, 380, 60, 60)
    follow(servo, [here] * 10, range(10))
    late = seen_by_a_perfect_network(servo.predict(10 * FRAME_NS) or here, here, 10)
    servo.look(there.centre, 10 * FRAME_NS, landed=True)
    servo.predict(11 * FRAME_NS)
    assert servo.track == 2
    assert servo.see(late).track == 1


def test_a_tap_is_followed_whatever_the_eyes_do_until_release():
    servo, tapped, other = RoiTracker(SENSOR), Roi(100, 100, 80, 80), Roi(480, 340, 60, 60)
    servo.take(tapped.centre, 0)
    masks = []
    for k in range(1, 12):
        servo.look(other.centre, k * FRAME_NS, landed=True)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        masks.append(servo.see(seen_by_a_perfect_network(roi, tapped, k)))
    assert iou(masks[-1], tapped) > 0.8
    servo.release()
    assert servo.predict(12 * FRAME_NS) is None


def test_a_taken_region_is_looked_at_first():
    servo, roi = RoiTracker(SENSOR, TrackerConfig(padding=0.0)), Roi(200, 120, 100, 50)
    servo.take_region(roi, 0)
    assert servo.predict(1) == roi


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_regions_never_leave_the_sensor_whatever_comes(data: st.DataObject):
    salient = data.draw(st.booleans())
    least = 0 if salient else data.draw(st.floats(0, 0.3))
    servo = RoiTracker(SENSOR, TrackerConfig(min_size=least), salient=salient)
    coordinate = st.floats(-200, 900)
    for k in range(12):
        for n in range(data.draw(st.integers(0, 3))):
            point = data.draw(st.tuples(coordinate, coordinate))
            if data.draw(st.booleans()):
                servo.approach(point, k * FRAME_NS + n * 1_000_000)
            servo.look(point, k * FRAME_NS + n * 1_000_000, data.draw(st.booleans()))
        if data.draw(st.booleans()):
            turned = (0.0, math.sin(data.draw(st.floats(-3, 3))), 0.0)
            rest = math.sqrt(1 - turned[1] ** 2)
            servo.turn(HeadPose(k * FRAME_NS, (*turned, rest)))
        if data.draw(st.integers(0, 4)) == 0:
            servo.take((320.0, 240.0), k * FRAME_NS, data.draw(st.floats(0.5, 900)))
        region = servo.predict(k * FRAME_NS)
        if region is None:
            continue
        assert region.left >= 0
        assert region.top >= 0
        assert region.right <= SENSOR.width
        assert region.bottom <= SENSOR.height
        assert min(region.width, region.height) >= math.floor(least * SENSOR.height)
        thing = Roi(*data.draw(st.tuples(coordinate, coordinate)), 50, 40)
        mask = servo.see(seen_by_a_perfect_network(region, thing, k, data.draw(st.floats(0, 1))))
        assert (mask.area > 0) <= (mask.track > 0)


def test_the_same_looks_and_masks_give_the_same_regions():
    things = [Roi(100 + 3 * k, 150 + k, 90, 70) for k in range(20)]
    one, other = (follow(RoiTracker(SENSOR), things, range(20)) for _ in range(2))
    assert [mask.roi for mask in one] == [mask.roi for mask in other]


def test_the_smallest_region_is_min_size_of_the_shorter_side():
    servo, thing = RoiTracker(SENSOR, TrackerConfig(min_size=0.2)), Roi.around(320, 240, 20, 30)
    follow(servo, [thing] * 20, range(20))
    region = servo.predict(20 * FRAME_NS)
    assert region is not None
    assert min(region.width, region.height) == pytest.approx(0.2 * 480, abs=1)


def test_a_thing_that_leaves_the_sensor_is_seen_in_the_smallest_region_until_it_is_gone():
    servo = RoiTracker(SENSOR)
    things = [Roi(500 + 8 * k, 200, 60, 60) for k in range(30)]
    shown = [mask.roi for mask in follow(servo, things, range(5))]
    assert min(min(roi.width, roi.height) for roi in shown) >= 28
    assert all(roi.right <= SENSOR.width for roi in shown)
    assert servo.track == 0


def test_the_part_of_a_mask_at_the_point_is_taken_not_the_larger_one_beside_it():
    bits = np.zeros((96, 96), bool)
    bits[40:56, 40:56] = True
    bits[10:30, 60:80] = True
    part = landing.component_at(bits, Roi(0, 0, 96, 96), (48, 48))
    assert part[48, 48]
    assert not part[20, 70]


def test_a_look_just_beside_a_slender_part_means_it_and_neither_a_larger_one_nor_a_speck():
    bits = np.zeros((96, 96), bool)
    bits[10:80, 50:54] = True
    bits[20:80, 60:90] = True
    bits[48, 48] = True
    beside = (46.0, 47.0)
    part = landing.component_nearest(bits, Roi(0, 0, 96, 96), beside)
    assert part[48, 52]
    assert part.sum() == 70 * 4
    assert landing.component_at(bits, Roi(0, 0, 96, 96), beside)[48, 70]


def test_the_nearest_part_is_found_in_sensor_pixels_in_a_region_that_is_not_square():
    bits = np.zeros((96, 96), bool)
    bits[20:76, 20:30] = True
    bits[80:90, 30:70] = True
    wide = Roi(100, 50, 400, 100)
    part = landing.component_nearest(bits, wide, (100 + 50 / 96 * 400, 100.0))
    assert part[85, 50]
    assert not part[50, 25]


def _trial(thing: Roi, side: float, score: float = 0.9) -> landing.Trial:
    """A first look at the middle of the sensor."""
    region = Roi.around(320, 240, side * 480, side * 480)
    return landing.Trial(seen_by_a_perfect_network(region, thing, 0, score), side, thing)


def test_a_mask_that_runs_into_the_edges_promises_less_than_a_whole_one():
    thing = Roi.around(320, 240, 180, 180)
    cut, whole = landing.expected_ious([_trial(thing, 0.25), _trial(thing, 0.5)])
    assert whole > cut


def test_a_thing_that_two_sizes_show_alike_promises_more_than_one_that_only_one_shows():
    small, large = Roi.around(320, 240, 60, 60), Roi.around(320, 240, 200, 200)
    agreed = landing.expected_ious([_trial(large, 0.5), _trial(large, 1.0)])[0]
    alone = landing.expected_ious([_trial(large, 0.5), _trial(small, 1.0)])[0]
    assert agreed > alone


@pytest.mark.parametrize("tap", [((math.nan, 1.0), None), ((5.0, 5.0), 0.0)])
def test_a_tap_that_is_no_place_is_refused(tap):
    point, side = tap
    with pytest.raises(ValueError, match="a tap is a point"):
        RoiTracker(Size(640, 480)).take(point, 0, side)


def test_looks_count_after_the_clock_was_set_back():
    tracker = RoiTracker(Size(640, 480))
    tracker.look((100, 240), 100 * 10**9, landed=True)
    tracker.look((500, 240), 50 * 10**9, landed=True)
    region = tracker.predict(50 * 10**9 + 5_000_000)
    assert region
    assert region.left <= 500 < region.right
    assert tracker.track == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_sizes": ()},
        {"start_sizes": (0.0,)},
        {"padding": 2.0},
        {"release_ms": 0.0},
        {"linger_ms": -1.0},
        {"coast_ms": math.inf},
        {"deadband": math.nan},
        {"granularity": "all"},
    ],
)
def test_settings_that_make_no_sense_cannot_be_built(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackerConfig(**wrong)
