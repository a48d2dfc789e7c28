from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glasses_sdk.crop
from glasses_sdk.crop import crop
from glasses_sdk.types import Mask, Roi, Size

PACKAGE = Path(glasses_sdk.crop.__file__).parent
FRAME = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)

inputs = st.builds(Size, st.integers(1, 33), st.integers(1, 33))
regions = st.builds(
    Roi, st.integers(-20, 39), st.integers(-20, 29), st.integers(21, 80), st.integers(21, 80)
)


@settings(deadline=None)
@given(regions, inputs, st.booleans())
def test_a_crop_is_the_part_inside_the_frame_resized(roi: Roi, size: Size, nearest: bool):
    part = FRAME[max(int(roi.top), 0) : int(roi.bottom), max(int(roi.left), 0) : int(roi.right)]
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    wanted = cv2.resize(part, (size.width, size.height), interpolation=how)
    assert np.array_equal(crop(FRAME, roi, size, nearest=nearest), wanted)


@settings(deadline=None)
@given(st.integers(0, 39), st.integers(0, 29), inputs)
def test_a_region_of_one_pixel_is_that_pixel_everywhere(x: int, y: int, size: Size):
    seen = crop(FRAME, Roi(x, y, 1, 1), size)
    assert seen.shape == (size.height, size.width, 3)
    assert (seen == FRAME[y, x]).all()


@pytest.mark.parametrize(
    "roi", [Roi(40, 0, 9, 9), Roi(0, 30, 9, 9), Roi(-9, 0, 9, 9), Roi(0, -9, 9, 9)]
)
def test_a_region_outside_the_frame_is_refused(roi: Roi):
    with pytest.raises(ValueError, match="outside the frame of 40x30"):
        crop(FRAME, roi, Size(8, 8))


def test_a_region_of_the_networks_own_size_is_untouched():
    assert np.array_equal(crop(FRAME, Roi(5, 6, 16, 12), Size(16, 12)), FRAME[6:18, 5:21])


def test_a_plain_mask_keeps_its_two_dimensions():
    assert crop(FRAME[..., 0], Roi(0, 0, 9, 9), Size(5, 4)).shape == (4, 5)


def test_the_frame_is_left_as_it_was():
    before = FRAME.copy()
    crop(FRAME, Roi(3, 3, 20, 20), Size(20, 20))[:] = 7
    assert np.array_equal(FRAME, before)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 15), st.integers(1, 4), st.integers(1, 4))
def test_a_mask_cut_out_and_drawn_back_is_the_mask(left, top, right, down):
    truth = FRAME[..., 0] > 127
    roi = Roi(left, top, 20, 15)
    cells = crop(truth.astype(np.uint8), roi, Size(20 * right, 15 * down), nearest=True) > 0
    drawn = Mask(cells, roi, Size(40, 30), 0, 0, 1.0).full()
    inside = np.zeros_like(truth)
    inside[top : top + 15, left : left + 20] = True
    assert np.array_equal(drawn, truth & inside)


@settings(deadline=None)
@given(st.integers(-10, 30), st.integers(-10, 15), st.integers(18, 40), st.integers(18, 40))
def test_a_picture_is_sampled_where_the_mask_says_that_its_cells_lie(left, top, width, height):
    """On a ramp a bilinear sample is its own position, so the cells' places can be read off it."""
    y, x = np.mgrid[0:60, 0:80].astype(np.uint8)
    frame = np.dstack([x * 3, y * 3])
    roi = Roi(max(left, 0), max(top, 0), min(left, 0) + width, min(top, 0) + height)
    cells = Size(6, 5)
    seen = crop(frame, Roi(left, top, width, height), cells).astype(float) / 3
    to_sensor = Mask(np.zeros((5, 6), np.bool_), roi, Size(80, 60), 0, 0, 0.0).to_sensor()
    for v, u in np.ndindex(5, 6):
        place = to_sensor @ (u, v, 1)
        assert seen[v, u] == pytest.approx(place[:2], abs=0.35)


def test_runtime_training_and_evaluation_crop_with_the_one_crop():
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "glasses_sdk.crop" in _imports(path)
    }
    assert {
        "evaluation/judging.py",
        "evaluation/servo.py",
        "sensors/host.py",
        "training/data.py",
    } <= importers


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
