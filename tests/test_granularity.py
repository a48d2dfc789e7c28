"""Part, object or whole: a network that takes its region's size for the size of what is meant."""

from __future__ import annotations

import numpy as np
import pytest

from glasses_sdk.geometry import overlap
from glasses_sdk.tracker import RoiTracker, TrackerConfig
from glasses_sdk.types import Mask, Roi
from tests.test_tracker import FRAME_NS, SENSOR, iou, seen_by_a_perfect_network

# One in the other about the same middle: a badge, a shirt, a person.
PART, OBJECT, WHOLE = (Roi.around(320, 240, side, side) for side in (36, 150, 420))
NESTED = {"part": PART, "object": OBJECT, "whole": WHOLE}


def seen(region: Roi, k: int) -> Mask:
    """The thing that the region would show best, its box with a fifth around it."""

    def fit(thing: Roi) -> float:
        shown = region.width * region.height
        wanted = 1.4**2 * thing.width * thing.height
        return abs(np.log(shown / wanted)) if overlap(thing, region) > 0 else np.inf

    thing = min(NESTED.values(), key=fit)
    return seen_by_a_perfect_network(region, thing, k)


def settled(granularity: str) -> Mask:
    servo = RoiTracker(SENSOR, TrackerConfig(granularity=granularity))
    mask = None
    for k in range(15):
        servo.look((320, 240), k * FRAME_NS - 1)
        region = servo.predict(k * FRAME_NS)
        assert region is not None
        mask = servo.see(seen(region, k))
    assert mask is not None
    return mask


@pytest.mark.parametrize("granularity", list(NESTED))
def test_the_same_look_settles_on_the_part_the_object_or_the_whole(granularity: str):
    mask = settled(granularity)
    ious = {name: iou(mask, thing) for name, thing in NESTED.items()}
    assert ious[granularity] > 0.85
    assert sum(ious.values()) - ious[granularity] < 0.4


def test_the_regions_grow_from_part_to_whole():
    part, thing, whole = (settled(name).roi for name in NESTED)
    assert part.width < thing.width < whole.width
