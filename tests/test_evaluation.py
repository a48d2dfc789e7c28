"""The protocols that look once, and what is refused: files, objects and pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glasses_sdk.annotations import load_annotations, read_rgb
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.evaluation import Clicks, Settings, View, evaluate, measure, region
from glasses_sdk.network import Network, Segmentation
from glasses_sdk.types import Roi, Size

sys.path.append(str(Path(__file__).parent))
from made_pictures import annotation, block, network, packed, picture, write_world

BOX, TIGHT, POINT = Settings("box"), Settings("tight"), Settings("point")
WHOLE = Size(10, 10)


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Path]:
    return lambda images, annotations: write_world(tmp_path, images, annotations)


@pytest.fixture
def bright(tmp_path: Path) -> Network:
    """A network of 32 x 24 cells to which whatever is brighter than grey is the object."""
    return network(tmp_path / "bright.onnx", threshold=127.0)


# The protocols


@pytest.mark.parametrize("settings", [BOX, TIGHT], ids=["box", "tight"])
def test_a_network_that_sees_the_objects_scores_one(bright, world, settings):
    # Sizes of which the padded region is 32 x 24 cells or a whole multiple: nothing is lost.
    objects = [annotation(1, np.ones((48, 64))), annotation(2, np.ones((48, 64)), image=2)]
    path = world([picture(1), picture(2, "other")], objects)
    report = evaluate(bright, path, settings)
    assert list(report.sources) == ["made", "other"]
    for score in report.sources.values():
        marks = score.marks
        assert (marks.miou, marks.map, marks.boundary_f, marks.n) == (1.0, 1.0, 1.0, 1)
    assert (report.model, report.settings) == (bright.name, settings)


def test_everything_marked_scores_the_objects_share_of_its_region(tmp_path, world):
    """A box of 20 x 10 padded: 24 x 12 tight, 24 x 24 square, and nothing is clipped."""
    everything = network(tmp_path / "everything.onnx", threshold=-1.0, size=Size(24, 24))
    path = world([picture(1)], [annotation(1, block(20, 20, 20, 10))])
    tight = evaluate(everything, path, TIGHT).sources["made"].marks
    square = evaluate(everything, path, BOX).sources["made"].marks
    assert (tight.miou, tight.map) == (pytest.approx(200 / 288), pytest.approx(0.4))  # .50 to .65
    assert (square.miou, square.map) == (pytest.approx(200 / 576), 0.0)


def test_more_padding_is_a_wider_region(tmp_path, world):
    """20 x 10 in 28 x 14 (20 % on each side), and in itself."""
    everything = network(tmp_path / "everything.onnx", threshold=-1.0, size=Size(28, 14))
    path = world([picture(1)], [annotation(1, block(20, 20, 20, 10))])
    wide = evaluate(everything, path, Settings("tight", padding=0.2)).sources["made"]
    bare = evaluate(everything, path, Settings("tight", padding=0.0)).sources["made"]
    assert wide.marks.miou == pytest.approx(200 / 392)
    assert bare.marks.miou == 1.0


def test_a_point_sees_as_many_pixels_as_the_network_has_cells(tmp_path, world):
    """Around the middle of an object of 6 x 4: 24 of 32 x 24 cells, whatever the object's size."""
    everything = network(tmp_path / "everything.onnx", threshold=-1.0)
    middle = annotation(1, block(30, 22, 6, 4))
    score = evaluate(everything, world([picture(1)], [middle]), POINT).sources["made"]
    assert score.marks.miou == pytest.approx(24 / (32 * 24))


def test_the_regions_of_both_protocols_are_those_published():
    assert region(Roi(10, 20, 30, 10), "tight") == Roi(7, 19, 36, 12)
    assert region(Roi(10, 20, 30, 10), "box") == Roi(7, 7, 36, 36)


def told(ious: dict[int, float]) -> Callable[[View], Segmentation]:
    """Marks the share of an object's first cells that gives it this IoU; the object is all."""

    def predict(view: View) -> Segmentation:
        share = ious[view.scene.instance.id]
        cells = np.arange(view.target.size) < round(view.target.size * share)
        return Segmentation(cells.reshape(view.target.shape), 1.0)

    return predict


def test_map_is_the_share_above_each_threshold(world):
    ious = {0: 1.0, 1: 0.95, 2: 0.5, 3: 0.49, 4: 0.77}
    path = world([picture(1)], [annotation(n, np.ones((48, 64))) for n in ious])
    marks = measure(told(ious), Size(100, 1), path, TIGHT)["made"].marks
    shares = [
        sum(one >= percent / 100 for one in ious.values()) / 5 for percent in range(50, 100, 5)
    ]
    assert marks.map == pytest.approx(sum(shares) / 10)
    assert marks.miou == pytest.approx(sum(ious.values()) / 5)


def test_an_object_between_the_cells_counts_one_in_miou_and_is_left_out_of_map(world):
    dot = annotation(1, block(33, 25, 1, 1), bbox=[0, 0, 64, 48])
    path = world([picture(1)], [dot, annotation(2, np.ones((48, 64)))])
    nothing = Segmentation(np.zeros((2, 2), np.bool_), 0.0)
    marks = measure(lambda view: nothing, Size(2, 2), path, TIGHT)["made"].marks
    assert (marks.miou, marks.map, marks.n) == (0.5, 0.0, 2)


def test_objects_are_counted_by_their_size_and_by_who_else_is_in_the_region(tmp_path, world):
    """Four of 20 x 20 side by side, 24 x 24 regions; a fifth alone, of 100 x 100."""
    size = Size(200, 200)
    lefts = (0, 10, 20, 30)
    objects = [annotation(n, block(left, 0, 20, 20, size)) for n, left in enumerate(lefts)]
    objects.append(annotation(9, block(80, 90, 100, 100, size)))
    score = measure(
        told(dict.fromkeys(range(10), 1.0)), WHOLE, world([picture(1, size=size)], objects), TIGHT
    )
    sizes, others = score["made"].sizes, score["made"].competitors
    assert {name: part.n for name, part in sizes.items()} == {"small": 4, "medium": 0, "large": 1}
    assert sizes["medium"].miou is None
    # Boxes 10 px apart, regions that reach 12 px from their middle: the ends see one neighbour.
    assert {name: part.n for name, part in others.items()} == {"0": 1, "1-2": 4, "3+": 0}


def test_three_in_one_region_are_three_competitors(world):
    objects = [annotation(1, block(10, 10, 40, 30))]
    objects += [annotation(n, block(12 + 8 * n, 15, 4, 4)) for n in (2, 3, 4)]
    whole = measure(told(dict.fromkeys(range(9), 1.0)), WHOLE, world([picture(1)], objects), TIGHT)
    assert whole["made"].competitors["3+"].n == 1


def test_a_score_that_is_the_iou_is_seen_to_be(world):
    ious = {n: (n + 0.5) / 10 for n in range(10)}
    path = world([picture(1)], [annotation(n, np.ones((48, 64))) for n in ious])

    def knowing(view: View) -> Segmentation:
        return Segmentation(told(ious)(view).bits, ious[view.scene.instance.id])

    knows = measure(knowing, Size(20, 1), path, TIGHT)["made"].score
    assert knows.correlation == pytest.approx(1.0)
    assert [one.n for one in knows.bins] == [1] * 10
    for one in knows.bins:
        assert one.low <= one.score < one.high
        assert one.score == pytest.approx(one.iou)
    sure = measure(told(ious), Size(20, 1), path, TIGHT)["made"].score
    assert sure.correlation is None
    assert [one.n for one in sure.bins] == [0] * 9 + [10]
    assert sure.bins[0].iou is None


def test_an_imprecise_box_is_measured_with_five_seeds(tmp_path, world):
    everything = network(tmp_path / "everything.onnx", threshold=-1.0)
    objects = [annotation(n, block(20, 15, 20, 10)) for n in range(4)]
    path = world([picture(1)], objects)
    exact = evaluate(everything, path, TIGHT).sources["made"]
    rough = evaluate(everything, path, Settings("tight", box_error=0.3)).sources["made"]
    assert exact.seeds == [exact.marks.miou]
    assert len(set(rough.seeds)) == 5
    assert np.mean(rough.seeds) == pytest.approx(rough.marks.miou)
    assert rough.marks.n == 4


def test_an_object_is_measured_alike_whoever_is_beside_it(tmp_path, world):
    everything = network(tmp_path / "everything.onnx", threshold=-1.0)
    rough = Settings("tight", box_error=0.3)
    pair = [annotation(n, block(20, 15, 20, 10)) for n in (5, 6)]
    alone = evaluate(everything, world([picture(1)], pair[1:]), rough).sources["made"]
    first = evaluate(everything, world([picture(1)], pair[:1]), rough).sources["made"]
    both = evaluate(everything, world([picture(1)], pair), rough).sources["made"]
    assert alone.seeds != first.seeds
    assert both.seeds == pytest.approx(np.mean([alone.seeds, first.seeds], axis=0))


def test_progress_counts_the_objects(bright, world):
    calls: list[tuple[int, int]] = []
    objects = [annotation(n, block(10, 10, 20, 10)) for n in (1, 2, 3)]
    evaluate(bright, world([picture(1)], objects), BOX, lambda *step: calls.append(step))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_picture_is_read_once_for_all_its_objects(bright, world, monkeypatch):
    read: list[str] = []

    def counting(photo: Any) -> Any:
        read.append(photo.path.name)
        return read_rgb(photo)

    monkeypatch.setattr("glasses_sdk.evaluation.scenes.read_rgb", counting)
    objects = [annotation(n, block(10, 10, 20, 10), image=1 + n % 2) for n in range(6)]
    evaluate(bright, world([picture(1), picture(2)], objects), BOX)
    assert sorted(read) == ["1.png", "2.png"]


def test_measuring_takes_no_tracker(world):
    path = world([picture(1)], [annotation(1, block(10, 10, 20, 10))])
    with pytest.raises(ConfigError, match="protocol servo drives a network"):
        measure(told({}), Size(2, 2), path, Settings("servo"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"protocol": "round"}, "no protocol 'round'; known: box, tight, point, servo"),
        ({"padding": 1.5}, "padding lies in 0 to 100 %, not 150%"),
        ({"padding": float("nan")}, "padding lies in 0 to 100 %"),
        ({"box_error": -0.1}, "box_error lies in 0 to 100 %, not -10%"),
        ({"protocol": "point", "padding": 0.2}, "protocol point has no padding to choose"),
        ({"protocol": "servo", "box_error": 0.1}, "protocol servo has no box error"),
        ({"protocol": "servo", "baselines": True}, "protocol servo has no baselines"),
        ({"clicks": Clicks(1)}, "protocol box has no clicks"),
    ],
)
def test_a_choice_that_makes_no_sense_is_named(wrong, says):
    with pytest.raises(ConfigError, match=says):
        Settings(**wrong)


# Annotation files


def test_crowds_and_empty_masks_are_left_out_and_the_smallest_object_counts(world):
    objects = [
        annotation(1, block(10, 10, 1, 1), area=0),
        annotation(2, block(0, 0, 0, 0), area=50),
        annotation(3, block(10, 10, 20, 20), iscrowd=1),
        annotation(4, block(0, 0, 0, 0), segmentation=[]),
        annotation(5, block(30, 10, 2, 3)),
    ]
    kept = load_annotations(world([picture(1)], objects)).instances
    assert [(instance.id, instance.area) for instance in kept] == [(1, 1), (5, 6)]


def test_all_three_forms_of_a_mask_are_one_mask(world):
    bits = block(8, 6, 12, 10)
    corners = [[8, 6, 20, 6, 20, 16, 8, 16]]
    plain = {"size": [48, 64], "counts": runs(bits)}
    forms = [packed(bits), plain, corners]
    objects = [annotation(n, bits, segmentation=form) for n, form in enumerate(forms)]
    kept = load_annotations(world([picture(1)], objects)).instances
    for instance in kept:
        assert np.array_equal(instance.mask(), bits)
    assert [instance.area for instance in kept] == [120, 120, 120]


def runs(bits: np.ndarray) -> list[int]:
    column_major = bits.T.ravel()
    changes = np.flatnonzero(np.diff(column_major)) + 1
    edges = [0, *changes.tolist(), column_major.size]
    lengths = np.diff(edges).tolist()
    return [0, *lengths] if column_major[0] else lengths


@pytest.mark.parametrize("seed", range(20))
def test_any_mask_is_read_as_it_was_packed(world, seed):
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.random((48, 64)), None, fx=1 + seed, fy=1 + seed)
    size = Size(noise.shape[1], noise.shape[0])
    bits = noise > rng.random()
    image, entry = picture(1, size=size), annotation(1, bits, bbox=[0, 0, *noise.shape[::-1]])
    (kept,) = load_annotations(world([image], [entry])).instances
    assert np.array_equal(kept.mask(), bits)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"segmentation": {"size": [48, 64], "counts": "zzzzzzzz"}}, "annotation 7.*run lengths"),
        ({"segmentation": {"size": [48, 64], "counts": "!!"}}, "annotation 7.*run lengths"),
        ({"segmentation": {"size": [48, 64], "counts": ""}}, "annotation 7.*run lengths"),
        ({"segmentation": {"size": [48, 64], "counts": "o" * 99}}, "annotation 7.*run lengths"),
        ({"segmentation": {"size": [48, 64], "counts": [3, 4000]}}, "annotation 7.*run lengths"),
        ({"segmentation": {"size": [48, 64], "counts": [3, -3, 3072]}}, "annotation 7.*run len"),
        ({"segmentation": {"size": [48, 64], "counts": [10**30]}}, "annotation 7"),
        ({"segmentation": {"size": [48, 64], "counts": 5}}, "annotation 7"),
        ({"segmentation": {"size": [64, 48], "counts": "o"}}, "annotation 7.*on a picture of"),
        ({"segmentation": [["a", "b", "c", "d", "e", "f"]]}, "annotation 7"),
        ({"segmentation": {"size": [48, 64]}}, "'counts' is missing"),
        ({"bbox": [100, 100, 5, 5]}, "annotation 7.*outside its picture"),
        ({"bbox": [1, 1, 0, 5]}, "annotation 7.*positive size"),
        ({"bbox": [1, 1]}, "annotation 7"),
        ({"image_id": 99}, "99 is missing"),
    ],
)
def test_a_damaged_annotation_is_named(world, change, says):
    path = world([picture(1)], [])
    entry = annotation(7, block(10, 10, 5, 5)) | change
    path.write_text(json.dumps({"images": [picture(1)], "annotations": [entry]}))
    with pytest.raises(DataError, match=f"objects.json is not in COCO format.*{says}"):
        load_annotations(path)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"images": 1, "annotations": []}', b"null"])
def test_json_that_is_no_annotation_file_is_named(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"other\.json is not in COCO format"):
        load_annotations(path)


@pytest.mark.parametrize("content", [b"", b'{"images": [', b"\xff\xfe\x00"])
def test_a_file_that_is_cut_off_is_named(tmp_path, content):
    path = tmp_path / "half.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"half\.json is not a whole JSON file"):
        load_annotations(path)


def test_a_missing_annotation_file_is_named(bright, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json: No such file"):
        evaluate(bright, tmp_path / "nowhere.json", BOX)


def test_a_file_without_objects_cannot_be_measured(bright, world):
    with pytest.raises(DataError, match=r"objects\.json has no object"):
        evaluate(bright, world([picture(1)], []), BOX)


def test_a_missing_pycocotools_says_what_to_install(bright, world, monkeypatch):
    path = world([picture(1)], [annotation(1, block(10, 10, 5, 5))])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ConfigError, match=r"pip install 'glasses-sdk\[eval\]'"):
        evaluate(bright, path, BOX)


# Pictures


def test_a_picture_is_read_as_rgb(world):
    path = world([picture(1)], [])
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(path.parent / "pictures/1.png"), red)
    assert read_rgb(load_annotations(path).photos[0])[0, 0].tolist() == [255, 0, 0]


def encoded(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "leave it out with --skip-bad"),
        (b"", "cut off"),
        (b"no picture at all", "damaged"),
        (encoded(".jpg")[:2000], "cut off after 2000 bytes"),
        (encoded(".png")[:20], "damaged"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(bright, world, content, says):
    path = world([picture(1)], [annotation(1, block(10, 10, 5, 5))])
    file = path.parent / "pictures/1.png"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=rf"1\.png.*{says}"):
        evaluate(bright, path, BOX)


def test_a_whole_jpeg_is_read(world):
    path = world([picture(1)], [])
    (path.parent / "pictures/1.png").write_bytes(encoded(".jpg"))
    assert read_rgb(load_annotations(path).photos[0]).shape == (48, 64, 3)


def test_a_picture_of_another_size_than_annotated_is_named(bright, world):
    path = world([picture(1)], [annotation(1, block(10, 10, 5, 5))])
    cv2.imwrite(str(path.parent / "pictures/1.png"), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"1\.png is 30x20, its annotations say 64x48"):
        evaluate(bright, path, BOX)


# Bad ones among good ones


def spoil(path: Path, **changes: Any) -> None:
    """Change the first object of the file."""
    data = json.loads(path.read_text())
    data["annotations"][0] |= changes
    path.write_text(json.dumps(data))


@pytest.fixture
def three(world) -> Path:
    """Two objects in one picture, one in another; the first's region is the network's cells."""
    objects = [annotation(1, block(10, 10, 20, 10)), annotation(2, block(20, 20, 20, 10))]
    return world([picture(1), picture(2)], [*objects, annotation(3, np.ones((48, 64)), image=2)])


BAD = [
    ({"segmentation": packed(np.zeros((48, 64)))}, "annotation 1: its mask has no pixel in its"),
    ({"segmentation": [[90, 90, 99, 90, 99, 99]]}, "annotation 1: its mask has no pixel in its"),
    ({"bbox": [100, 100, 5, 5]}, "annotation 1: .* lies outside its picture of 64x48"),
    ({"segmentation": packed(np.ones((20, 20)))}, r"annotation 1: a mask of \[20, 20\] on a"),
    ({"segmentation": {"size": [48, 64], "counts": "!!"}}, "annotation 1: its run lengths"),
    ({"image_id": 77}, "annotation 1: 77 is missing"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_a_bad_object_is_refused_by_name_or_left_out(bright, three, change, says):
    spoil(three, **change)
    with pytest.raises(DataError, match=rf"objects\.json: {says}.*leave it out with --skip-bad"):
        evaluate(bright, three, TIGHT)
    report = evaluate(bright, three, Settings("tight", skip_bad=True))
    assert report.sources["made"].marks.n == 2
    (skipped,) = report.to_json()["skipped"]
    assert skipped.startswith("annotation 1: ")


def test_bad_objects_and_missing_pictures_are_counted(bright, three):
    spoil(three, bbox=[100, 100, 5, 5])
    (three.parent / "pictures/2.png").unlink()
    with pytest.raises(DataError, match=r"annotation 1: .* and 1 more; mend"):
        evaluate(bright, three, TIGHT)
    report = evaluate(bright, three, Settings("tight", skip_bad=True))
    assert report.sources["made"].marks.n == 1
    assert [said.split(":")[0].split(" /")[0] for said in report.skipped] == [
        "annotation 1",
        "no picture",
    ]


def test_a_picture_that_is_cut_off_is_left_out_with_its_objects(bright, three):
    (three.parent / "pictures/1.png").write_bytes(encoded(".jpg")[:2000])
    calls: list[tuple[int, int]] = []
    skipping = Settings("tight", skip_bad=True)
    report = evaluate(bright, three, skipping, lambda *step: calls.append(step))
    assert report.sources["made"].marks.n == 1
    assert calls == [(3, 3)]
    assert "cut off after 2000 bytes" in report.skipped[0]


@pytest.mark.parametrize("numbers", [(1, 2), (1,)])
def test_a_file_of_which_nothing_is_left_is_refused(bright, three, numbers):
    data = json.loads(three.read_text())
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] in numbers]
    three.write_text(json.dumps(data))
    for number in numbers:
        (three.parent / f"pictures/{number}.png").unlink()
    with pytest.raises(DataError, match=r"has no object to measure on once . that are bad were"):
        evaluate(bright, three, Settings("tight", skip_bad=True))


def test_a_file_whose_every_picture_is_damaged_is_refused(bright, three):
    for number in (1, 2):
        (three.parent / f"pictures/{number}.png").write_bytes(b"no picture at all")
    with pytest.raises(DataError, match=r"has no picture that can be read .*damaged"):
        evaluate(bright, three, Settings("tight", skip_bad=True))


def test_objects_too_small_for_the_servo_leave_nothing(bright, three):
    data = json.loads(three.read_text())
    data["annotations"] = data["annotations"][:2]
    three.write_text(json.dumps(data))
    with pytest.raises(DataError, match="has no object of more than 1024 pixels to measure on"):
        evaluate(bright, three, Settings("servo"))
