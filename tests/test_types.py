from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size

SENSOR = Size(40, 30)


def mask(bits: np.ndarray, roi: Roi, sensor: Size = SENSOR) -> Mask:
    return Mask(bits, roi, sensor, time_ns=1, seq=0, score=0.5)


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """A mask of any cells over any whole-pixel region of a small sensor."""
    sensor = Size(draw(st.integers(1, 40)), draw(st.integers(1, 30)))
    left = draw(st.integers(0, sensor.width - 1))
    top = draw(st.integers(0, sensor.height - 1))
    width = draw(st.integers(1, sensor.width - left))
    height = draw(st.integers(1, sensor.height - top))
    shape = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    seed = draw(st.integers(0, 2**32 - 1))
    bits = np.random.default_rng(seed).random(shape) < 0.5
    return mask(bits, Roi(left, top, width, height), sensor)


def cell_under(centre: Fraction, start: float, length: float, cells: int) -> set[int | None]:
    """The cell that holds a pixel's centre, None outside; both sides where it lies on an edge."""
    place = (centre - Fraction(start)) * cells / Fraction(length)
    hair = Fraction(1, 10**9)
    beside = {math.floor(place - hair), math.floor(place + hair)}
    return {cell if 0 <= cell < cells else None for cell in beside}


def possible(mask: Mask, size: Size, x: int, y: int) -> set[bool]:
    """What pixel (x, y) of a picture of the whole sensor may show, by exact arithmetic."""
    right = Fraction(2 * x + 1, 2) * mask.sensor.width / size.width
    down = Fraction(2 * y + 1, 2) * mask.sensor.height / size.height
    columns = cell_under(right, mask.roi.left, mask.roi.width, mask.size.width)
    rows = cell_under(down, mask.roi.top, mask.roi.height, mask.size.height)
    return {
        row is not None and column is not None and bool(mask.bits[row, column])
        for row in rows
        for column in columns
    }


@settings(deadline=None)
@given(masks())
def test_the_full_mask_shows_in_each_pixel_the_cell_under_its_centre(mask: Mask):
    full = mask.full()
    assert full.shape == (mask.sensor.height, mask.sensor.width)
    roi, cells = mask.roi, mask.size
    for y, x in np.ndindex(full.shape):  # exact: a centre never misses its cell by rounding
        u = math.floor((Fraction(2 * x + 1, 2) - int(roi.left)) * cells.width / int(roi.width))
        v = math.floor((Fraction(2 * y + 1, 2) - int(roi.top)) * cells.height / int(roi.height))
        inside = 0 <= u < cells.width and 0 <= v < cells.height
        assert full[y, x] == (inside and mask.bits[v, u])


@settings(deadline=None)
@given(masks(), st.integers(1, 50), st.integers(1, 50))
def test_the_full_mask_fits_a_display_of_any_size(mask: Mask, width: int, height: int):
    display = Size(width, height)
    full = mask.full(display)
    assert full.shape == (height, width)
    for y, x in np.ndindex(full.shape):
        assert bool(full[y, x]) in possible(mask, display, x, y)


@settings(deadline=None)
@given(masks())
def test_a_cells_centre_lies_where_the_protocol_says(mask: Mask):
    for u, v in ((0, 0), (mask.size.width - 1, mask.size.height - 1), (3, 7)):
        x, y, w = mask.to_sensor() @ (u, v, 1)
        assert w == 1
        assert x == pytest.approx(
            mask.roi.left + (u + 0.5) * mask.roi.width / mask.size.width - 0.5
        )
        assert y == pytest.approx(
            mask.roi.top + (v + 0.5) * mask.roi.height / mask.size.height - 0.5
        )


@settings(deadline=None)
@given(masks())
def test_the_edges_of_the_cells_are_the_edges_of_the_region(mask: Mask):
    first = mask.to_sensor() @ (-0.5, -0.5, 1)
    last = mask.to_sensor() @ (mask.size.width - 0.5, mask.size.height - 0.5, 1)
    assert first[:2] + 0.5 == pytest.approx([mask.roi.left, mask.roi.top])
    assert last[:2] + 0.5 == pytest.approx([mask.roi.right, mask.roi.bottom])


@settings(deadline=None)
@given(masks(), st.floats(-50, 50), st.floats(-50, 50))
def test_from_a_cell_to_the_sensor_and_back_is_where_it_began(mask: Mask, u: float, v: float):
    there = mask.to_sensor()
    assert np.linalg.inv(there) @ (there @ (u, v, 1)) == pytest.approx([u, v, 1], abs=1e-9)


@settings(deadline=None)
@given(masks())
def test_a_pixel_brought_into_the_cells_finds_what_the_full_mask_shows(mask: Mask):
    full = mask.full()
    back = np.linalg.inv(mask.to_sensor())
    for y, x in np.ndindex(full.shape):
        u, v, _ = back @ (x, y, 1)
        away = min(abs((u + 0.5) % 1), abs(1 - (u + 0.5) % 1), (v + 0.5) % 1, 1 - (v + 0.5) % 1)
        column, row = math.floor(u + 0.5), math.floor(v + 0.5)
        inside = 0 <= column < mask.size.width and 0 <= row < mask.size.height
        if away > 1e-9:
            assert full[y, x] == (inside and mask.bits[row, column])


def test_a_mask_knows_its_size_and_area():
    bits = np.zeros((3, 5), np.bool_)
    bits[1, 2:4] = True
    one = mask(bits, Roi(0, 0, 5, 3))
    assert (one.size, one.area) == (Size(5, 3), 2)


@pytest.mark.parametrize(
    ("bits", "says"),
    [
        (np.zeros((4, 4), np.uint8), "uint8"),
        (np.zeros((4, 4, 1), np.bool_), "4, 4, 1"),
        (np.zeros((0, 4), np.bool_), "1 to 256"),
        (np.zeros((4, 257), np.bool_), "1 to 256"),
    ],
)
def test_a_mask_of_other_cells_cannot_be_built(bits: np.ndarray, says: str):
    with pytest.raises(ValueError, match=says):
        mask(bits, Roi(0, 0, 4, 4))


@pytest.mark.parametrize(
    "roi", [Roi(-1, 0, 4, 4), Roi(0, -1, 4, 4), Roi(37, 0, 4, 4), Roi(0, 27, 4, 4)]
)
def test_a_mask_outside_its_sensor_cannot_be_built(roi: Roi):
    with pytest.raises(ValueError, match="not inside the sensor of 40x30"):
        mask(np.zeros((4, 4), np.bool_), roi)


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan])
def test_a_score_lies_between_0_and_1(score: float):
    with pytest.raises(ValueError, match="score"):
        Mask(np.zeros((4, 4), np.bool_), Roi(0, 0, 4, 4), SENSOR, 0, 0, score)


@pytest.mark.parametrize("sides", [(0, 4), (4, 0), (-1, 4)])
def test_a_size_has_positive_sides(sides: tuple[int, int]):
    with pytest.raises(ValueError, match=f"{sides[0]} x {sides[1]}"):
        Size(*sides)


@pytest.mark.parametrize(
    "numbers",
    [(0, 0, 0, 1), (0, 0, 1, -1), (math.nan, 0, 1, 1), (0, math.inf, 1, 1), (0, 0, math.inf, 1)],
)
def test_a_region_has_finite_numbers_and_a_positive_size(numbers: tuple[float, ...]):
    with pytest.raises(ValueError, match="a region needs"):
        Roi(*numbers)


def test_a_region_knows_its_edges_and_its_middle():
    roi = Roi(2, 3, 10, 20)
    assert (roi.right, roi.bottom, roi.centre) == (12, 23, (7, 13))
    assert Roi.around(7, 13, 10, 20) == roi


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_a_confidence_lies_between_0_and_1(confidence: float):
    with pytest.raises(ValueError, match="confidence"):
        Gaze(0, 1.0, 1.0, confidence)


def test_only_a_blink_may_have_no_point():
    assert math.isnan(Gaze(0, math.nan, math.nan, 0.0).x)
    with pytest.raises(ValueError, match="finite"):
        Gaze(0, math.nan, 1.0, 0.5)


def test_an_orientation_is_a_unit_quaternion():
    HeadPose(0, (0.0, 0.6, 0.0, 0.8))
    with pytest.raises(ValueError, match="unit quaternion"):
        HeadPose(0, (0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Size(1, 1), "width"),
        (Roi(0, 0, 1, 1), "left"),
        (Gaze(0, 0, 0), "x"),
        (HeadPose(0, (0, 0, 0, 1)), "time_ns"),
        (mask(np.zeros((1, 1), np.bool_), Roi(0, 0, 1, 1)), "seq"),
    ],
)
def test_records_cannot_be_changed(record: object, field: str):
    with pytest.raises(FrozenInstanceError):
        setattr(record, field, 2)
