"""Nobody's gaze is known: the tracker finds something itself, by the masks alone."""

from __future__ import annotations

import numpy as np
import pytest

from glasses_sdk.geometry import visible
from glasses_sdk.salient import Search
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Mask, Roi, Size
from tests.test_tracker import FRAME_NS, SENSOR, iou, seen_by_a_perfect_network

NOWHERE = Roi(-99, -99, 1, 1)


def watch(
    tracker: RoiTracker, things: list[Roi | None], score: float = 0.95
) -> tuple[list[Roi], list[Mask]]:
    regions, masks = [], []
    for k, thing in enumerate(things):
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        regions.append(region)
        seen = seen_by_a_perfect_network(region, thing or NOWHERE, k, score)
        masks.append(tracker.see(seen))
    return regions, masks


def test_without_a_gaze_nothing_is_looked_at_unless_it_is_asked_for():
    assert RoiTracker(SENSOR).predict(0) is None


def test_the_whole_sensor_is_looked_at_first():
    tracker = RoiTracker(SENSOR, salient=True)
    assert tracker.predict(0) == Roi(0, 0, 640, 480)
    assert tracker.track == 0


@pytest.mark.parametrize(("x", "y"), [(320, 240), (120, 90), (560, 400)])
def test_a_small_thing_is_zoomed_onto_in_steps_and_followed(x: int, y: int):
    thing = Roi.around(x, y, 70, 50)
    regions, masks = watch(RoiTracker(SENSOR, salient=True), [thing] * 12)
    areas = [region.width * region.height for region in regions]
    assert areas[0] > areas[1] > areas[2]
    assert areas[1] >= 0.15 * areas[0]  # half of each side, cut at the edges of the sensor
    assert masks[-1].track == 1
    assert {mask.roi_state for mask in masks} == {"held"}
    assert iou(masks[-1], thing) > 0.85


def test_what_is_found_is_followed_where_it_goes():
    things: list[Roi | None] = [Roi(80 + 4 * k, 120 + k, 90, 80) for k in range(60)]
    _, masks = watch(RoiTracker(SENSOR, salient=True), things)
    assert {mask.track for mask in masks[8:]} == {1}
    last = things[-1]
    assert last is not None
    assert iou(masks[-1], last) > 0.75


def test_where_nothing_is_other_places_are_looked_at_and_all_of_the_sensor_again():
    regions, masks = watch(RoiTracker(SENSOR, salient=True), [None] * 12)
    assert {mask.area for mask in masks} == {0}
    assert regions[:6] == regions[6:]
    covered = np.zeros((SENSOR.height, SENSOR.width), int)
    for region in regions[1:6]:
        covered[int(region.top) : int(region.bottom), int(region.left) : int(region.right)] += 1
    assert covered.min() >= 1
    assert len(set(regions[:6])) == 6


def test_doubtful_masks_are_nothing():
    _, masks = watch(RoiTracker(SENSOR, salient=True), [Roi(200, 200, 90, 90)] * 12, score=0.4)
    assert {mask.track for mask in masks} == {0}


def test_the_ground_is_no_thing():
    """It fills every region."""
    _, masks = watch(RoiTracker(SENSOR, salient=True), [Roi(-50, -50, 800, 700)] * 12)
    assert {mask.track for mask in masks} == {0}


def test_when_the_object_has_gone_it_is_let_go_and_something_else_is_looked_for():
    here, there = Roi(100, 100, 90, 90), Roi(450, 330, 90, 90)
    tracker = RoiTracker(SENSOR, salient=True)
    things: list[Roi | None] = [here] * 20 + [None] * 15 + [there] * 25
    masks, tracks = [], []
    for k, thing in enumerate(things):
        region = tracker.predict(k * FRAME_NS)
        assert region is not None
        masks.append(tracker.see(seen_by_a_perfect_network(region, thing or NOWHERE, k)))
        tracks.append(masks[-1].track)
    assert tracks[19] == 1
    assert tracks[34] == 0
    assert tracks[-1] == 2
    assert iou(masks[-1], there) > 0.85


def test_a_mask_of_a_region_before_does_not_count():
    search = Search(SENSOR, 0.15, 0.6)
    whole = search.region
    empty = seen_by_a_perfect_network(whole, NOWHERE, 0)
    search.see(empty)
    second = search.region
    assert second != whole
    search.see(empty)
    assert search.region == second


def test_what_never_fits_is_left_after_a_few_steps():
    """A network that sees a speck in the middle of whatever it is shown."""
    size, places = Size(640, 480), []
    search = Search(size, 0.15, 0.6)
    for k in range(40):
        region = visible(search.region, size)
        assert region is not None
        bits = np.zeros((96, 96), bool)
        bits[46:50, 46:50] = True
        assert search.see(Mask(bits, region, size, k, k, 0.9)) is None
        places.append(search.region)
    assert len(set(places)) > 12


def test_a_tap_goes_before():
    tracker = RoiTracker(SENSOR, salient=True)
    watch(tracker, [Roi(100, 100, 90, 90)] * 10)
    tracker.take((500, 400), 11 * FRAME_NS)
    region = tracker.predict(11 * FRAME_NS)
    assert region is not None
    assert region.left < 500 < region.right
