"""Protocol `servo`: the tracker, a click and a still picture; and what there was to gain."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glasses_sdk.evaluation import Clicks, Settings, evaluate
from glasses_sdk.evaluation.servo import follow, look_at
from glasses_sdk.network import Network, Segmentation
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Roi, Size

sys.path.append(str(Path(__file__).parent))
from made_pictures import annotation, block, network, picture, write_world

FRAME, CELLS = Size(320, 240), Size(48, 48)
SERVO = Settings("servo")


@pytest.fixture
def bright(tmp_path: Path) -> Network:
    return network(tmp_path / "bright.onnx", threshold=127.0, size=CELLS)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Path]:
    return lambda *objects: write_world(tmp_path, [picture(1, size=FRAME)], list(objects))


class Watched:
    """A network, and what it was asked."""

    def __init__(self, network: Network) -> None:
        self.network, self.input, self.name = network, network.input, network.name
        self.seen: list[np.ndarray] = []

    def segment(self, rgb: np.ndarray) -> Segmentation:
        self.seen.append(rgb)
        return self.network.segment(rgb)


def white(left: int, top: int, width: int, height: int) -> np.ndarray:
    return np.where(block(left, top, width, height, FRAME)[..., None], 255, 0).astype(
        np.uint8
    ) * np.ones(3, np.uint8)


def share(roi: Roi, box: Roi) -> float:
    """IoU of two rectangles."""
    width = min(roi.right, box.right) - max(roi.left, box.left)
    height = min(roi.bottom, box.bottom) - max(roi.top, box.top)
    both = max(width, 0) * max(height, 0)
    return both / (roi.width * roi.height + box.width * box.height - both)


def test_whoever_clicks_on_a_white_object_has_it_in_the_end(bright, world):
    report = evaluate(bright, world(annotation(1, block(120, 80, 90, 60, FRAME))), SERVO)
    score = report.sources["made"]
    assert list(score.passes) == [1, 2, 3, 5]
    assert score.passes[5] > 0.85
    assert score.oracle > 0.95
    assert score.oracle_square > 0.9


def test_the_json_is_as_promised(bright, world):
    objects = [annotation(n, block(20 + 100 * n, 80, 60, 60, FRAME)) for n in (0, 1)]
    report = evaluate(bright, world(*objects), SERVO, keep_cases=True)
    fields = json.loads(json.dumps(report.to_json()))
    assert (fields["protocol"], fields["clicks"]) == ("servo", "random:0")
    (score,) = fields["sources"].values()
    assert set(score) == {"passes", "oracle", "oracle_square", "best_scale", "n"}
    assert set(score["passes"]) == {"1", "2", "3", "5"}
    assert score["n"] == len(report.cases) == 2
    assert score["passes"]["5"] == pytest.approx(np.mean([case.iou for case in report.cases]))


def test_objects_of_up_to_1024_pixels_are_left_out(bright, world):
    small, large = block(0, 0, 32, 32, FRAME), block(100, 100, 33, 32, FRAME)
    report = evaluate(bright, world(annotation(1, small), annotation(2, large)), SERVO)
    assert report.sources["made"].n == 1


def test_a_frame_costs_one_run_of_the_network(bright):
    watched: Any = Watched(bright)
    masks = follow(watched, white(120, 80, 90, 60), (150.0, 100.0), 5)
    assert [mask.seq for mask in masks] == [0, 1, 2, 3, 4]
    assert len(watched.seen) == 5


def test_what_is_judged_is_what_the_tracker_hands_on(bright, monkeypatch):
    """Each mask that `see` returns, in order; and somebody looks at the click at each frame."""
    said: list[Any] = []
    looks: list[tuple[tuple[float, float], int]] = []
    see, look = RoiTracker.see, RoiTracker.look

    def seeing(self: RoiTracker, mask: Any) -> Any:
        said.append(see(self, mask))
        return said[-1]

    def looking(self: RoiTracker, point: tuple[float, float], time_ns: int) -> None:
        looks.append((point, time_ns))
        look(self, point, time_ns)

    monkeypatch.setattr(RoiTracker, "see", seeing)
    monkeypatch.setattr(RoiTracker, "look", looking)
    masks = follow(bright, white(120, 80, 90, 60), (150.0, 100.0), 5)
    assert len(masks) == len(said) == 5
    assert all(mask is one for mask, one in zip(masks, said, strict=True))
    assert {point for point, _ in looks} == {(150.0, 100.0)}
    steps = np.diff([time_ns for _, time_ns in looks])
    assert steps.tolist() == pytest.approx([1e9 / 30] * 4, abs=1)


def test_the_truth_is_not_told(bright, world):
    """Two objects in one and the same picture with the same middle: one and the same mask."""
    small, large = block(140, 90, 40, 40, FRAME), block(100, 50, 120, 120, FRAME)
    path = world(annotation(1, small), annotation(2, large))
    centred = Settings("servo", clicks=Clicks())
    one, other = evaluate(bright, path, centred, keep_cases=True).cases
    assert one.click == other.click
    assert one.mask.roi == other.mask.roi
    assert np.array_equal(one.mask.bits, other.mask.bits)
    assert one.iou != other.iou


def test_the_best_scale_is_that_of_the_five_squares(tmp_path, world):
    """A network that marks all it sees: its masks are the squares themselves."""
    everything = network(tmp_path / "everything.onnx", threshold=-1.0, size=CELLS)
    box = Roi(100, 60, 110, 90)
    path = world(annotation(1, block(100, 60, 110, 90, FRAME)))
    centred = Settings("servo", clicks=Clicks())
    score = evaluate(everything, path, centred).sources["made"]
    sides = [240 * scale for scale in (0.1, 0.2, 0.35, 0.6, 0.95)]
    expected = max(share(Roi.around(155.5, 105.5, side, side), box) for side in sides)
    assert score.best_scale == pytest.approx(expected, abs=0.02)
    assert score.oracle == pytest.approx(1 / 1.2**2, abs=0.01)
    assert score.oracle_square == pytest.approx(110 * 90 / 132**2, abs=0.01)


def test_a_look_without_a_region_gives_an_empty_mask_of_the_whole_picture(bright):
    mask = look_at(bright, white(120, 80, 90, 60), None, 3, 7)
    assert (mask.area, mask.score, mask.seq, mask.time_ns) == (0, 0.0, 3, 7)
    assert mask.roi == Roi(0, 0, 320, 240)


def test_a_mask_lies_where_its_region_is(bright):
    """Half of the region is white."""
    mask = look_at(bright, white(100, 0, 100, 240), Roi(50, 20, 100, 100))
    wanted = cv2.resize(mask.bits.astype(np.uint8), (100, 100), interpolation=cv2.INTER_NEAREST)
    assert mask.bits[:, :23].sum() == 0
    assert mask.bits[:, 25:].all()
    assert np.array_equal(mask.full()[20:120, 50:150], wanted > 0)
