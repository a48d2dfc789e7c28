"""Figures and prompts against oracles of their own: IoU, boundary F, boxes with errors, clicks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from glasses_sdk.errors import ConfigError
from glasses_sdk.evaluation import Clicks, boundary_f, iou
from glasses_sdk.evaluation.regions import at_click, misjudged
from glasses_sdk.geometry import visible
from glasses_sdk.types import Roi, Size

FRAME = Size(64, 48)
CELLS = Size(96, 96)


def disc(x: float, y: float, radius: float, size: Size = CELLS) -> np.ndarray:
    v, u = np.mgrid[: size.height, : size.width]
    return (u - x) ** 2 + (v - y) ** 2 <= radius**2


def test_two_empty_masks_agree():
    assert iou(np.zeros((3, 3), np.bool_), np.zeros((3, 3), np.bool_)) == 1.0


def test_iou_is_what_both_have_over_what_either_has():
    one, other = np.zeros((2, 10, 10), np.bool_)
    one[:4], other[2:6] = True, True
    assert iou(one, other) == pytest.approx(20 / 60)


# Boundary F


def outline(bits: np.ndarray) -> list[tuple[int, int]]:
    """Cell by cell, as the definition reads."""
    height, width = bits.shape
    cells = []
    for v, u in zip(*np.nonzero(bits), strict=True):
        beside = [(v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)]
        inside = [(y, x) for y, x in beside if 0 <= y < height and 0 <= x < width]
        if not all(bits[place] for place in inside):
            cells.append((v, u))
    return cells


def slow_boundary_f(one: np.ndarray, truth: np.ndarray) -> float:
    """Matches each cell of an outline with the nearest of the other, by distances."""
    bound = np.ceil(0.008 * np.hypot(*truth.shape))
    places = [np.array(outline(bits)) for bits in (one, truth)]
    far = np.hypot(*(places[0][:, None] - places[1][None]).transpose(2, 0, 1))
    precision, recall = (far.min(axis=1) <= bound).mean(), (far.min(axis=0) <= bound).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [CELLS, Size(40, 30), Size(300, 20)], ids=str)
def test_boundary_f_is_that_of_the_definition(seed, size):
    rng = np.random.default_rng(seed)
    x, y, radius = rng.uniform(0, size.width), rng.uniform(0, size.height), rng.uniform(4, 30)
    truth = disc(x, y, radius, size)
    one = disc(x + rng.normal(0, 3), y + rng.normal(0, 3), radius * rng.uniform(0.8, 1.2), size)
    one |= rng.random(one.shape) < 0.002 * (seed % 3)
    assert boundary_f(one, truth) == pytest.approx(slow_boundary_f(one, truth))


def test_an_outline_off_by_no_more_than_the_tolerance_is_right():
    """0.008 of the diagonal of 96 x 96 cells is 1.09, rounded up to two cells."""
    truth = np.zeros((96, 96), np.bool_)
    truth[30:60, 30:60] = True
    two, three = (np.roll(truth, shift, axis=1) for shift in (2, 3))
    assert boundary_f(two, truth) == 1.0
    assert boundary_f(three, truth) < 1.0


@pytest.mark.parametrize(
    ("one", "truth", "f"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0)], ids=["both", "found", "wanted"]
)
def test_where_there_is_no_outline(one, truth, f):
    some = disc(48, 48, 20)
    assert boundary_f(some & bool(one), some & bool(truth)) == f


def test_the_pictures_border_is_no_outline():
    whole = np.ones((96, 96), np.bool_)
    assert boundary_f(whole, whole) == 1.0
    assert boundary_f(disc(48, 48, 20), whole) == 0.0


# An imprecise box


def draws(error: float, box: Roi, count: int = 4000) -> np.ndarray:
    """left, top, width, height as shares of the box's sides, of many boxes far from any border."""
    rng = np.random.default_rng(0)
    frame = Size(10_000, 10_000)
    found = [misjudged(box, error, frame, rng) for _ in range(count)]
    shares = [
        (
            (one.left - box.left) / box.width,
            (one.top - box.top) / box.height,
            one.width / box.width,
            one.height / box.height,
        )
        for one in found
    ]
    return np.array(shares)


def test_a_misjudged_box_errs_as_published():
    """The corner uniformly by up to half the error, the sides normally by half of it."""
    left, top, width, height = draws(0.2, Roi(4000, 5000, 300, 100)).T
    for shift in (left, top):
        assert -0.1 <= shift.min() < -0.099
        assert 0.099 < shift.max() <= 0.1
        assert shift.std() == pytest.approx(0.2 / 12**0.5, rel=0.03)
    for scale in (width, height):
        assert scale.mean() == pytest.approx(1.0, abs=0.005)
        assert scale.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(np.corrcoef([left, top, width, height]) - np.eye(4)).max() < 0.06


def test_without_error_the_box_is_the_box():
    rng = np.random.default_rng(0)
    box = Roi(3.25, 4.5, 20, 10.125)
    assert misjudged(box, 0.0, FRAME, rng) == box


@pytest.mark.parametrize("seed", range(200))
def test_however_wrong_a_box_is_it_shows_a_part_of_the_picture(seed):
    rng = np.random.default_rng(seed)
    width, height = rng.uniform(0.2, 30, 2)
    left, top = rng.uniform(0, FRAME.width - width), rng.uniform(0, FRAME.height - height)
    box = misjudged(Roi(left, top, width, height), 1.0, FRAME, rng)
    assert box.left >= 0
    assert box.top >= 0
    assert box.right <= FRAME.width + 1e-9
    assert box.bottom <= FRAME.height + 1e-9
    assert visible(box, FRAME) is not None


# Clicks


def test_a_click_on_the_middle_is_the_middle_of_the_masks_box():
    assert Clicks().on(disc(50, 40, 10).astype(np.uint8), 1) == (50, 40)


def test_where_the_middle_is_not_on_the_object_the_nearest_pixel_is_clicked():
    ring = disc(50, 40, 20) & ~disc(50, 40, 12)
    column, row = Clicks().on(ring.astype(np.uint8), 1)
    rows, columns = np.nonzero(ring)
    assert ring[row, column]
    nearest = np.hypot(columns - 50, rows - 40).min()
    assert np.hypot(column - 50, row - 40) == pytest.approx(nearest, abs=1.0)


@pytest.mark.parametrize("name", range(40))
def test_a_random_click_is_well_inside(name):
    """At least half as far from the edge as the farthest pixel; the border is an edge, too."""
    bits = disc(20, 30, 25) & ~disc(25, 35, 8)
    column, row = Clicks(0).on(bits.astype(np.uint8), name)
    depth = distance_transform_edt(np.pad(bits, 1))[1:-1, 1:-1]
    assert bits[row, column]
    assert depth[row, column] >= depth.max() / 2 - 1e-3


def test_random_clicks_are_the_same_each_time_and_reach_the_whole_inside():
    bits = disc(40, 40, 20).astype(np.uint8)
    first = [Clicks(3).on(bits, name) for name in range(400)]
    assert first == [Clicks(3).on(bits, name) for name in range(400)]
    assert first != [Clicks(4).on(bits, name) for name in range(400)]
    off = np.array(first) - 40
    assert np.abs(off.mean(axis=0)).max() < 1.5
    assert 8 < np.hypot(*off.T).max() <= 11


@pytest.mark.parametrize("text", ["centre", "random:0", "random:17"])
def test_clicks_are_read_as_they_are_written(text):
    assert str(Clicks.parse(text)) == text


@pytest.mark.parametrize("text", ["", "center", "random", "random:", "random:-1", "random:x"])
def test_unknown_clicks_are_refused(text):
    with pytest.raises(ConfigError, match=rf"no clicks '{text}'; known: centre, random:SEED"):
        Clicks.parse(text)


def test_the_click_is_in_the_middle_of_its_region():
    region = at_click((300, 200), CELLS)
    assert region == Roi(252, 152, 96, 96)


def test_a_region_at_the_left_and_the_top_is_moved_into_the_picture_and_else_cut():
    frame = Size(400, 300)
    assert at_click((10, 20), CELLS) == Roi(0, 0, 96, 96)
    assert visible(at_click((390, 280), CELLS), frame) == Roi(342, 232, 58, 68)
