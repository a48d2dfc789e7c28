"""Output tensors in every form that they have been seen in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glasses_sdk.errors import ModelError
from glasses_sdk.sensors.imx500.tensors import check, parse
from glasses_sdk.types import Size

CELLS = Size(6, 4)
logit_maps = hnp.arrays(np.float32, (4, 6), elements=st.floats(-20, 20, width=16))
SHAPES = [(4, 6), (1, 4, 6), (4, 6, 1), (1, 4, 6, 1), (1, 1, 4, 6)]


@given(logit_maps, st.sampled_from(SHAPES), st.booleans())
@settings(deadline=None)
def test_the_mask_is_where_the_logits_are_above_zero_in_any_order_and_shape(
    logits: np.ndarray, shape: tuple[int, ...], fortran: bool
):
    tensor = logits.reshape(shape)
    found = parse([np.asfortranarray(tensor) if fortran else tensor], CELLS)
    assert found is not None
    assert [[bool(x) for x in row] for row in found.bits] == [[x > 0 for x in r] for r in logits]


@given(logit_maps)
@settings(deadline=None)
def test_without_a_score_of_its_own_it_is_the_mean_certainty_of_the_cells(logits: np.ndarray):
    found = parse([logits], CELLS)
    assert found is not None
    inside = [1 / (1 + np.exp(-float(x))) for x in logits.ravel() if x > 0]
    assert found.score == pytest.approx(np.mean(inside) if inside else 0.0, abs=1e-5)


@given(hnp.arrays(np.int8, (4, 6)), st.sampled_from([0.0625, 0.125, 0.5]))
@settings(deadline=None)
def test_quantized_logits_give_the_mask_and_score_of_the_numbers_they_stand_for(
    quantized: np.ndarray, scale: float
):
    found = parse([quantized], CELLS, scale)
    same = parse([quantized.astype(np.float32) * scale], CELLS)
    assert found is not None
    assert same is not None
    assert np.array_equal(found.bits, same.bits)
    assert found.score == pytest.approx(same.score, abs=1e-5)


@pytest.mark.parametrize(
    ("told", "score"),
    [
        (np.float32([0.8]), 0.8),
        (np.float32([[0.8]]), 0.8),
        (np.float32([1.4]), 1.0),
        (np.float32([-0.1]), 0.0),
        (np.float32([0, 9, 9, 9, 9]), 0.5),
        (np.float32([[100, 9, 9, 9, 9]]), 1.0),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_tensor_tells_the_score(told: np.ndarray, score: float, first: bool):
    mask = np.ones((1, 4, 6), np.float32)
    found = parse([told, mask] if first else [mask, told], CELLS)
    assert found is not None
    assert found.score == pytest.approx(score)
    assert found.bits.all()


@pytest.mark.parametrize(
    "tensors",
    [
        [np.ones(23, np.float32)],
        [np.ones(0, np.float32)],
        [np.ones((4, 6), np.float32), np.ones(3, np.float32)],
        [np.ones((4, 6), np.float32), np.float32([np.nan])],
        [np.full((4, 6), np.nan, np.float32), np.ones(5, np.float32)],
        [np.full((4, 6), np.nan, np.float32), np.float32([np.inf, 0, 0, 0])],
    ],
)
def test_what_is_cut_short_or_no_number_gives_nothing(tensors: list[np.ndarray]):
    assert parse(tensors, CELLS) is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("more", [[], [(1,)], [(5,)], [(1, 5)]])
def test_our_networks_shapes_are_known(shape: tuple[int, ...], more: list[tuple[int, ...]]):
    check([shape, *more], CELLS)
    check([*more, shape], CELLS)


@pytest.mark.parametrize(
    "shapes",
    [[], [(6, 4)], [(1, 8, 12)], [(10, 4), (10,), (10,), (1,)], [(4, 6), (4, 6)], [(4, 6), (2,)]],
)
def test_another_network_s_shapes_are_named(shapes: list[tuple[int, ...]]):
    with pytest.raises(ModelError, match=r"another one.*wanted is one mask of \(4, 6\)"):
        check(shapes, CELLS)
