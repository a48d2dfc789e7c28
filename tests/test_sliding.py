"""Eyes that do not move with what is followed are on something else."""

from __future__ import annotations

import pytest

from glasses_sdk.sighting import Sighting, sight
from glasses_sdk.sliding import Sliding
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.trials import Trials
from glasses_sdk.types import Mask, Roi
from tests.test_tracker import FRAME_NS, SENSOR, follow, seen_by_a_perfect_network


def speed(offsets: list[tuple[float, float]], landed: list[int] | None = None) -> float:
    """Of a point looked at that lies so far from the middle of an object that goes right."""
    sliding = Sliding()
    for k, (x, y) in enumerate(offsets):
        middle = 100.0 + 5 * k, 200.0
        point = middle[0] + x, middle[1] + y
        sliding.note(point, middle, k * FRAME_NS, landed[k] if landed else 0)
    return sliding.speed


def test_a_point_that_stays_on_the_object_does_not_slide():
    assert speed([(12.0, -7.0)] * 30) == 0


def test_a_point_that_moves_over_it_slides_as_fast_as_it_does():
    offsets = [(3.0 * k, 4.0 * k) for k in range(90)]  # 5 pixels a frame
    assert speed(offsets) == pytest.approx(150, rel=0.01)
    assert 0 < speed(offsets[:5]) < 75  # what began just now may soon be over


def test_leaps_to_other_parts_of_it_are_no_sliding():
    there, elsewhere = [(-40.0, 0.0)] * 10, [(40.0, 0.0)] * 10
    assert speed(there + elsewhere, [0] * 10 + [1] * 10) == 0
    assert speed(there + elsewhere) > 50


def test_a_trembling_point_slides_by_little():
    assert speed([(3.0 * (-1) ** k, 0.0) for k in range(60)]) < 15


def test_masks_that_are_far_apart_say_nothing():
    sliding = Sliding()
    for k in range(4):
        sliding.note((50.0 * k, 0.0), (0.0, 0.0), k * 300_000_000, 0)
    assert sliding.speed == 0


@pytest.mark.parametrize(
    ("eyes", "thing", "tried"), [(8, 0, True), (8, 8, False), (0, 0, False), (1, 0, False)]
)
def test_what_does_not_move_with_the_eyes_is_doubted(eyes: int, thing: int, tried: bool):
    servo, box = RoiTracker(SENSOR), Roi.around(250, 180, 60, 260)
    follow(servo, [box] * 4, range(4))
    squares: list[int] = []
    for k in range(4, 24):
        servo.look((250, 110 + eyes * (k - 4)), k * FRAME_NS, landed=k == 4)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        if abs(roi.width - roi.height) < 2:
            squares.append(k)
        now = Roi.around(250, 180 + thing * (k - 4), 60, 260)
        servo.see(seen_by_a_perfect_network(roi, now, k, score=0.9))
    assert bool(squares) is tried
    assert servo.track == 1


def test_what_the_eyes_slide_over_is_looked_for_at_the_starting_sizes():
    servo, box = RoiTracker(SENSOR), Roi.around(320, 240, 200, 330)
    follow(servo, [box] * 4, range(4))
    widths: list[float] = []
    for k in range(4, 24):
        servo.look((320, 140 + 9 * (k - 4)), k * FRAME_NS, landed=k == 4)
        roi = servo.predict(k * FRAME_NS)
        assert roi is not None
        widths.append(roi.width)
        servo.see(seen_by_a_perfect_network(roi, box, k, score=0.9))
    assert min(widths) == pytest.approx(0.29 * SENSOR.height, abs=2)


@pytest.mark.parametrize(("against", "kept"), [(0.0, True), (0.4, False)])
def test_what_is_said_against_the_doubted_can_decide_for_another(against: float, kept: bool):
    def shown(thing: float, side: float, k: int) -> tuple[Mask, Sighting]:
        region, box = (Roi.around(320, 240, one, one) for one in (side, thing))
        mask = seen_by_a_perfect_network(region, box, k, score=0.9)
        seen = sight(mask, (320, 240))
        assert seen
        return mask, seen

    _, doubted = shown(200, 260, 0)
    trials = Trials([140], doubted, against)
    trials.ask(140, Roi.around(320, 240, 140, 140), FRAME_NS)
    trials.see(*shown(60, 140, 1))
    best = trials.best(1.0, lambda time_ns: None)
    assert best
    assert (best.box.width > 150) is kept
