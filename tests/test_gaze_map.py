"""From the provider's plane to the sensor's pixels, and back from a file."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze_map import GazeMap, load_gaze_map, save_gaze_map
from glasses_sdk.types import Gaze, Size

SENSOR = Size(640, 480)
NUMBER = st.floats(-1000, 1000)


def gaze(x: float, y: float) -> Gaze:
    return Gaze(0, x, y)


def test_the_corners_of_a_scaled_plane_are_the_outer_corners_of_the_corner_pixels():
    scale = GazeMap.scale(SENSOR)
    assert scale.to_sensor(gaze(0, 0)) == (-0.5, -0.5)
    assert scale.to_sensor(gaze(1, 1)) == (639.5, 479.5)


def test_the_middle_of_a_scaled_plane_is_the_middle_of_the_pixels():
    assert GazeMap.scale(SENSOR).to_sensor(gaze(0.5, 0.5)) == (319.5, 239.5)


def test_an_identity_leaves_pixels_as_they_are():
    assert GazeMap.identity().to_sensor(gaze(12.5, 700)) == (12.5, 700)


@given(st.lists(NUMBER, min_size=9, max_size=9), NUMBER, NUMBER)
def test_a_homography_is_the_quotient_of_its_rows(numbers: list[float], x: float, y: float):
    a, b, c, d, e, f, g, h, i = numbers
    w = g * x + h * y + i
    assume(abs(w) > 1)
    got = GazeMap("homography", np.array(numbers).reshape(3, 3)).to_sensor(gaze(x, y))
    assert got == pytest.approx(((a * x + b * y + c) / w, (d * x + e * y + f) / w), rel=1e-6, abs=1)


def test_a_point_on_the_horizon_is_infinitely_far_away():
    tilted = np.array([[1, 0, 0], [0, 1, 0], [0, 1, -1.0]])
    assert GazeMap("homography", tilted).to_sensor(gaze(0.5, 1)) == (inf, inf)


def test_what_was_saved_is_loaded_to_the_last_bit(tmp_path: Path):
    matrix = np.random.default_rng(1).normal(size=(3, 3)) * [[1e3], [1.0], [1e-6]]
    save_gaze_map(GazeMap("homography", matrix), tmp_path / "map.toml")
    loaded = load_gaze_map(tmp_path / "map.toml", SENSOR)
    assert loaded.model == "homography"
    assert np.array_equal(loaded.matrix, matrix)


def test_a_saved_scale_fits_the_sensor_that_it_is_loaded_for(tmp_path: Path):
    save_gaze_map(GazeMap.scale(SENSOR), tmp_path / "map.toml")
    loaded = load_gaze_map(tmp_path / "map.toml", Size(100, 50))
    assert loaded.to_sensor(gaze(1, 1)) == (99.5, 49.5)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 1e6], [0, 1, 1e6], [0, 0, 1]],
        [[1e-5, 0, 0], [0, 1e-5, 0], [0, 0, 1e-5]],
    ],
    ids=["far away", "small numbers"],
)
def test_a_map_that_can_be_inverted_is_taken_whatever_its_scale(
    tmp_path: Path, rows: list[list[float]]
):
    save_gaze_map(GazeMap("homography", np.array(rows, float)), tmp_path / "map.toml")
    assert np.array_equal(load_gaze_map(tmp_path / "map.toml", SENSOR).matrix, np.array(rows))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('model = "homography"\n', "needs `matrix`, nine finite numbers"),
        ('model = "homography"\nmatrix = [1, 2, 3]\n', "nine finite numbers"),
        ('model = "homography"\nmatrix = [1, 0, 0, 0, nan, 0, 0, 0, 1]\n', "nine finite numbers"),
        ('model = "homography"\nmatrix = [1, 2, 3, 2, 4, 6, 0, 0, 1]\n', "cannot be inverted"),
        ('model = "affine"\n', "affine"),
        ('modle = "scale"\n', "modle"),
        ("model = scale\n", "map.toml"),
        ("", "model"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str, fault: str):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault) as refused:
        load_gaze_map(path, SENSOR)
    assert str(path) in str(refused.value)


def test_a_map_that_is_not_there_is_a_wrong_setting(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load_gaze_map(tmp_path / "none.toml", SENSOR)


def test_the_sample_map_brings_the_middle_near_the_middle_and_moves_it_left() -> None:
    sample = Path(__file__).parent.parent / "calibration" / "gaze-map.toml"
    x, y = load_gaze_map(sample, Size(1280, 720)).to_sensor(Gaze(0, 0.5, 0.5))
    assert 580 < x < 640
    assert 340 < y < 380
