"""Regions as the chip wants them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from glasses_sdk.sensors.imx500.aim import Chip
from glasses_sdk.types import Roi, Size

CHIP = Chip(Size(4056, 3040), Size(96, 96))
sides = st.floats(0.1, 9000)
regions = st.builds(Roi, st.floats(-6000, 6000), st.floats(-6000, 6000), sides, sides)


@given(regions)
@settings(deadline=None)
def test_what_the_driver_gets_is_even_inside_and_within_its_limits(roi: Roi):
    fitted = CHIP.fit(roi)
    if fitted is None:
        assert roi.left >= 4056 or roi.top >= 3040 or roi.right <= 0 or roi.bottom <= 0
        return
    numbers = (fitted.left, fitted.top, fitted.width, fitted.height)
    assert all(isinstance(number, int) and number % 2 == 0 for number in numbers)
    assert all(0 <= number <= 4032 for number in numbers)
    assert fitted.width >= 96
    assert fitted.height >= 96
    assert fitted.right <= 4056
    assert fitted.bottom <= 3040


@given(regions)
@settings(deadline=None)
def test_it_holds_what_the_region_shares_with_the_sensor_and_hardly_more(roi: Roi):
    fitted = CHIP.fit(roi)
    if fitted is None or roi.left < 0 < roi.right > 4032 or roi.width > 4030:
        return  # wider than the control can say
    left, right = max(roi.left, 0), min(roi.right, 4056)
    top, bottom = max(roi.top, 0), min(roi.bottom, 3040)
    assert fitted.left <= left
    assert fitted.top <= top
    assert fitted.right >= right
    assert fitted.bottom >= bottom
    assert fitted.width <= max(right - left + 4, 96)
    assert fitted.height <= max(bottom - top + 4, 96)


@given(regions)
@settings(deadline=None)
def test_a_region_that_fits_is_left_as_it_is(roi: Roi):
    fitted = CHIP.fit(roi)
    assert fitted is None or CHIP.fit(fitted) == fitted


def test_the_whole_is_as_wide_as_the_control_can_say_about_the_middle():
    assert CHIP.whole == Roi(12, 0, 4032, 3040)
