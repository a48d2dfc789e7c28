from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glasses_sdk.geometry import apply, mask_box, padded, square, visible
from glasses_sdk.types import Mask, Roi, Size

edges = st.floats(-60, 60)
lengths = st.floats(0.01, 100)
regions = st.builds(Roi, edges, edges, lengths, lengths)
frames = st.builds(Size, st.integers(1, 50), st.integers(1, 50))


@settings(deadline=None)
@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 70), st.integers(1, 70), frames)
def test_of_whole_pixels_exactly_those_inside_the_frame_are_seen(left, top, width, height, frame):
    columns = set(range(left, left + width)) & set(range(frame.width))
    rows = set(range(top, top + height)) & set(range(frame.height))
    seen = visible(Roi(left, top, width, height), frame)
    if not (columns and rows):
        assert seen is None
    else:
        assert seen == Roi(min(columns), min(rows), len(columns), len(rows))


@settings(deadline=None)
@given(regions, frames)
@example(Roi(9.9, 0, 0.2, 5), Size(10, 5))
@example(Roi(-0.1, -0.1, 0.2, 0.2), Size(10, 5))
def test_what_is_seen_is_whole_pixels_of_the_frame(roi: Roi, frame: Size):
    seen = visible(roi, frame)
    overlaps = (
        roi.right > 0 and roi.bottom > 0 and roi.left < frame.width and roi.top < frame.height
    )
    assert (seen is not None) == overlaps
    if seen:
        numbers = (seen.left, seen.top, seen.width, seen.height)
        assert all(number == int(number) for number in numbers)
        assert seen.left >= 0
        assert seen.top >= 0
        assert seen.width >= 1
        assert seen.height >= 1
        assert seen.right <= frame.width
        assert seen.bottom <= frame.height


@settings(deadline=None)
@given(regions, frames)
def test_the_edges_seen_are_within_half_a_pixel_of_the_cut(roi: Roi, frame: Size):
    seen = visible(roi, frame)
    if seen and seen.width > 1:
        assert abs(seen.left - max(roi.left, 0)) <= 0.5
        assert abs(seen.right - min(roi.right, frame.width)) <= 0.5
    if seen and seen.height > 1:
        assert abs(seen.top - max(roi.top, 0)) <= 0.5
        assert abs(seen.bottom - min(roi.bottom, frame.height)) <= 0.5


@settings(deadline=None)
@given(regions, frames)
def test_what_has_been_seen_once_is_seen_the_same_again(roi: Roi, frame: Size):
    seen = visible(roi, frame)
    assert seen is None or visible(seen, frame) == seen


def test_a_sliver_of_overlap_is_one_pixel():
    assert visible(Roi(9.99, 2, 5, 2), Size(10, 10)) == Roi(9, 2, 1, 2)
    assert visible(Roi(-4, 2, 4.01, 2), Size(10, 10)) == Roi(0, 2, 1, 2)


@pytest.mark.parametrize("roi", [Roi(10, 0, 5, 5), Roi(-5, 0, 5, 5), Roi(0, 10, 5, 5)])
def test_a_region_that_only_touches_the_frame_is_outside(roi: Roi):
    assert visible(roi, Size(10, 10)) is None


def test_padding_adds_its_share_on_each_side():
    grown = padded(Roi(10, 20, 30, 40), 0.1)
    assert (grown.left, grown.top) == pytest.approx((7, 16))
    assert (grown.width, grown.height) == pytest.approx((36, 48))


@settings(deadline=None)
@given(regions)
def test_a_square_has_the_longer_side_and_the_same_middle(roi: Roi):
    made = square(roi)
    assert made.width == made.height == max(roi.width, roi.height)
    assert made.centre == pytest.approx(roi.centre)


def test_a_point_is_divided_by_its_homogeneous_part():
    perspective = np.array([[2.0, 0, 1], [0, 3, 2], [0, 0.5, 1]])
    assert apply(perspective, 4.0, 2.0) == pytest.approx((9 / 2, 8 / 2))


def test_an_empty_mask_has_no_box():
    assert mask_box(np.zeros((4, 4), np.bool_), Roi(0, 0, 4, 4)) is None


@settings(deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 999)
)
def test_the_box_of_a_mask_holds_just_the_pixels_that_it_sets(right, down, left, top, seed):
    bits = np.random.default_rng(seed).random((6, 7)) < 0.1
    roi = Roi(left, top, 7 * right, 6 * down)  # whole pixels a cell, so that both agree
    rows, columns = np.nonzero(Mask(bits, roi, Size(50, 50), 0, 0, 0.0).full())
    box = mask_box(bits, roi)
    if not rows.size:
        assert box is None
    else:
        assert box is not None
        corners = (box.left, box.top, box.right, box.bottom)
        wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert corners == pytest.approx(wanted)
