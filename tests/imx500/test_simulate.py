"""The whole way: eyes, tracker, the sensor's code, picamera2, a device that runs the network."""

from __future__ import annotations

import pytest

from tests.imx500.device import Traits
from tests.imx500.simulate import Result, simulate

FRAMES = 240


@pytest.fixture(scope="module")
def attributed() -> Result:
    return simulate(Traits(lag=3, jitter=1, seed=0), FRAMES)


def test_no_stable_mask_is_on_a_wrong_region(attributed: Result):
    assert attributed.stable > 30
    assert attributed.wrong_region == 0


def test_the_lag_is_found_out_and_not_told(attributed: Result):
    assert attributed.latency_frames in (3, 4)


def test_masks_fall_off_their_objects_without_attribution(attributed: Result):
    believed = simulate(Traits(lag=3, jitter=1, seed=0), FRAMES, attributed=False)
    assert believed.wrong_region > FRAMES / 4
    assert believed.stable_iou < attributed.stable_iou - 0.1


@pytest.mark.parametrize("lag", [1, 2, 4])
@pytest.mark.timeout(1800)
def test_a_stable_mask_is_as_true_as_the_host_s(request: pytest.FixtureRequest, lag: int):
    if not request.config.getoption("--long"):
        pytest.skip("takes minutes: pytest --long")
    result = simulate(Traits(lag=lag, seed=0), 2000)
    assert result.wrong_region == 0
    assert result.stable_iou > result.host_iou - 0.02
