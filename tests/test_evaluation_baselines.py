"""What needs no network: the figures that are known, and what GrabCut and the shapes draw."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from glasses_sdk.evaluation import Settings, below_ellipse, evaluate, iou
from glasses_sdk.evaluation.baselines import baselines, drawn, grabcut
from glasses_sdk.evaluation.judging import View, views
from glasses_sdk.evaluation.scenes import Scenes
from glasses_sdk.types import Roi, Size

sys.path.append(str(Path(__file__).parent))
from made_pictures import annotation, block, network, picture, write_world

CELLS = Size(96, 96)
# mIoU in percent on the 150-image subset of COCO val2017 and ECSSD 701-800.
KNOWN = {
    "region": (37.6, 41.4),
    "region_ellipse": (44.4, 47.2),
    "box": (58.4, 55.6),
    "box_ellipse": (61.9, 60.7),
}


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, list[float]]]:
    """Source to name to the IoUs, in the regions of the published protocol."""
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA does not say where the validation pictures are")
    found: dict[str, dict[str, list[float]]] = {}
    known = {name: one for name, one in baselines(Settings("box")).items() if name in KNOWN}
    for scene in Scenes(Path(folder) / "val.json", False).each(lambda done, total: None):
        of_source = found.setdefault(scene.photo.source, {name: [] for name in known})
        for view in views(scene, Settings("box"), CELLS):
            for name, predict in known.items():
                of_source[name].append(iou(predict(view).bits, view.target))
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_baselines_come_out(measured, name):
    assert {source: len(each[name]) for source, each in measured.items()} == {
        "coco": 1110,
        "ecssd": 100,
    }
    for source, percent in zip(("coco", "ecssd"), KNOWN[name], strict=True):
        assert 100 * np.mean(measured[source][name]) == pytest.approx(percent, abs=0.15)


def view_of(folder: Path, bits: np.ndarray, settings: Settings, cells: Size = CELLS) -> View:
    path = write_world(folder, [picture(1)], [annotation(1, bits)])
    (scene,) = Scenes(path, False).each(lambda done, total: None)
    (view,) = views(scene, settings, cells)
    return view


def test_a_tight_region_tells_the_box_and_a_square_one_does_not(tmp_path):
    """A box of 40 x 20 fills it, and half of its square."""
    known = baselines(Settings("box"))
    tight = view_of(tmp_path, block(10, 20, 40, 20), Settings("tight"))
    square = view_of(tmp_path, block(10, 20, 40, 20), Settings("box"))
    assert np.array_equal(known["region"](tight).bits, known["box"](tight).bits)
    assert iou(known["box"](square).bits, square.target) > 0.97
    inside, whole = known["box"](square).bits.sum(), known["region"](square).bits.sum()
    assert 0.4 < inside / whole < 0.6


def test_an_ellipse_has_pi_quarters_of_its_boxs_area():
    shape, seen = Roi(10, 20, 60, 30), Roi(0, 0, 96, 96)
    ellipse, box = (drawn(shape, seen, CELLS, ellipse=round) for round in (True, False))
    assert box.sum() == 60 * 30
    assert ellipse.sum() / box.sum() == pytest.approx(np.pi / 4, abs=0.01)
    assert not (ellipse & ~box).any()


def test_around_a_click_ellipses_have_the_size_of_their_name(tmp_path):
    """A click at 24, 20 of a picture as large as the region: nothing is cut or stretched."""
    view = view_of(tmp_path, block(14, 10, 20, 20), Settings("point"), Size(64, 48))
    found = {name: one(view).bits for name, one in baselines(Settings("point")).items()}
    assert list(found) == [f"ellipse_{n}" for n in (25, 50, 75, 100, 140)]
    assert found["ellipse_25"].sum() == pytest.approx(np.pi / 4 * 16 * 12, rel=0.05)
    rows, columns = np.nonzero(found["ellipse_50"])
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (33, 25)  # from the middle of a pixel
    assert (columns.mean(), rows.mean()) == pytest.approx((24, 20), abs=0.6)


def test_grabcut_finds_a_white_object_and_stays_in_its_box(tmp_path):
    """Its picture is the object's box in white on black, which it is told with a margin."""
    view = view_of(tmp_path, block(20, 15, 20, 15), Settings("tight", padding=0.5))
    assert iou(grabcut(view), view.target) > 0.95
    assert np.array_equal(grabcut(view), grabcut(view))


def test_grabcut_takes_a_box_that_fills_the_region(tmp_path):
    view = view_of(tmp_path, np.ones((48, 64)), Settings("tight"))
    assert grabcut(view).all()


def test_a_network_below_its_boxs_ellipse_is_seen(tmp_path):
    path = write_world(tmp_path, [picture(1)], [annotation(1, block(10, 10, 20, 20))])
    settings = Settings("box", baselines=True)
    bright = evaluate(network(tmp_path / "b.onnx", 127.0), path, settings).sources["made"]
    blind = evaluate(network(tmp_path / "n.onnx", 999.0), path, settings).sources["made"]
    assert not below_ellipse(bright)
    assert below_ellipse(blind)
    assert not below_ellipse(
        evaluate(network(tmp_path / "n.onnx", 999.0), path, Settings()).sources["made"]
    )
    assert set(bright.baselines) == {*KNOWN, "grabcut"}
