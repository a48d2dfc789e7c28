from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glasses_sdk.annotations import Annotations, Instance, load_annotations, read_rgb
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.evaluation import Score, evaluate, iou, measure, region
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network
from glasses_sdk.types import Bits, Roi, Size

onnx = pytest.importorskip("onnx", reason="makes its networks with onnx (extra: train)")
mask_tools = pytest.importorskip("pycocotools.mask", reason="needs the extra eval")

CELLS = Size(96, 96)
FRAME = Size(64, 48)
WIDE = Size(32, 24)


# A made world of pictures


def packed(bits: np.ndarray) -> dict[str, Any]:
    rle = mask_tools.encode(np.asfortranarray(bits.astype(np.uint8)))
    return {"size": list(bits.shape), "counts": rle["counts"].decode()}


def block(left: int, top: int, width: int, height: int, size: Size = FRAME) -> np.ndarray:
    bits = np.zeros((size.height, size.width), np.bool_)
    bits[top : top + height, left : left + width] = True
    return bits


def annotation(number: int, bits: np.ndarray, image: int = 1, **more: Any) -> dict[str, Any]:
    rows, columns = np.nonzero(bits) if bits.any() else (np.array([0]), np.array([0]))
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
    entry = {"id": number, "image_id": image, "bbox": box, "area": int(bits.sum())}
    return entry | {"segmentation": packed(bits), "iscrowd": 0} | more


def picture(number: int, source: str = "made", size: Size = FRAME) -> dict[str, Any]:
    shape = {"width": size.width, "height": size.height}
    return {"id": number, "file_name": f"pictures/{number}.png", "source": source} | shape


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Path]:
    """Writes an annotation file and, for each picture, its objects' boxes in white on black."""

    def write(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> Path:
        (tmp_path / "pictures").mkdir(exist_ok=True)
        for image in images:
            white = np.zeros((image["height"], image["width"], 3), np.uint8)
            for entry in annotations:
                if entry["image_id"] == image["id"]:
                    left, top, width, height = entry["bbox"]
                    white[top : top + height, left : left + width] = 255
            cv2.imwrite(str(tmp_path / image["file_name"]), white)
        path = tmp_path / "objects.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        return path

    return write


@pytest.fixture
def bright(tmp_path: Path) -> Network:
    """A network of 32 x 24 cells to which whatever is brighter than grey is the object."""
    return network(tmp_path / "bright.onnx", threshold=127.0)


def network(path: Path, threshold: float, size: Size = WIDE) -> Network:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["rgb"], ["float"], to=kinds.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["grey"], axes=[3], keepdims=0),
            helper.make_node("Sub", ["grey", "threshold"], ["logits"]),
        ],
        "bright",
        [helper.make_tensor_value_info("rgb", kinds.UINT8, ["n", size.height, size.width, 3])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, ["n", size.height, size.width])],
        [helper.make_tensor("threshold", kinds.FLOAT, [1], [threshold])],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return Network(path)


# The protocols


@pytest.mark.parametrize("protocol", ["box", "tight"])
def test_a_network_that_sees_the_objects_scores_one(bright, world, protocol):
    # Sizes of which the padded region is 32 x 24 cells or a whole multiple: nothing is lost.
    objects = [annotation(1, np.ones((48, 64))), annotation(2, np.ones((48, 64)), image=2)]
    path = world([picture(1), picture(2, "other")], objects)
    report = evaluate(bright, path, protocol)
    assert report.sources == {"made": Score(1.0, 1.0, 1), "other": Score(1.0, 1.0, 1)}
    assert (report.model, report.protocol) == (bright.name, protocol)


def test_everything_marked_scores_the_objects_share_of_its_region(tmp_path, world):
    """A box of 20 x 10 padded: 24 x 12 tight, 24 x 24 square, and nothing is clipped."""
    everything = network(tmp_path / "everything.onnx", threshold=-1.0, size=Size(24, 24))
    path = world([picture(1)], [annotation(1, block(20, 20, 20, 10))])
    tight = evaluate(everything, path, "tight").sources["made"]
    square = evaluate(everything, path, "box").sources["made"]
    assert tight == Score(pytest.approx(200 / 288), pytest.approx(0.4), 1)  # .50 .55 .60 .65
    assert square == Score(pytest.approx(200 / 576), 0.0, 1)


def test_map_is_the_share_above_each_threshold():
    ious = [1.0, 0.95, 0.5, 0.49, 0.77]
    cells = Size(100, 1)
    photo = load_one_row()

    def predict(instance: Instance, asked: Roi) -> Bits:
        return (np.arange(100) < round(100 * ious[instance.id]))[None]

    instances = [Instance(n, 0, Roi(0, 0, 100, 1), 100, photo[1]) for n in range(len(ious))]
    score = measure(Annotations([photo[0]], instances), "tight", cells, predict)["made"]
    shares = [sum(one >= percent / 100 for one in ious) / 5 for percent in range(50, 100, 5)]
    assert score.map == pytest.approx(sum(shares) / 10)
    assert score.miou == pytest.approx(sum(ious) / 5)


def load_one_row() -> tuple[Any, dict[str, Any]]:
    from glasses_sdk.annotations import Photo

    return Photo(Path("none.png"), Size(100, 1), "made", False), packed(np.ones((1, 100)))


def test_an_object_between_the_cells_counts_one_in_miou_and_is_left_out_of_map(world):
    dot = annotation(1, block(33, 25, 1, 1), bbox=[0, 0, 64, 48])
    data = load_annotations(world([picture(1)], [dot, annotation(2, np.ones((48, 64)))]))
    nothing = np.zeros((2, 2), np.bool_)
    score = measure(data, "tight", Size(2, 2), lambda instance, asked: nothing)["made"]
    assert score == Score(0.5, 0.0, 2)


def test_progress_counts_the_objects(bright, world):
    calls: list[tuple[int, int]] = []
    objects = [annotation(n, block(10, 10, 20, 10)) for n in (1, 2, 3)]
    evaluate(bright, world([picture(1)], objects), "box", lambda *step: calls.append(step))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_a_picture_is_read_once_for_all_its_objects(bright, world, monkeypatch):
    read: list[str] = []

    def counting(photo: Any) -> Any:
        read.append(photo.path.name)
        return read_rgb(photo)

    monkeypatch.setattr("glasses_sdk.evaluation.read_rgb", counting)
    objects = [annotation(n, block(10, 10, 20, 10), image=1 + n % 2) for n in range(6)]
    evaluate(bright, world([picture(1), picture(2)], objects), "box")
    assert sorted(read) == ["1.png", "2.png"]


def test_a_report_goes_into_json_and_back(bright, world):
    report = evaluate(bright, world([picture(1)], [annotation(1, block(10, 10, 20, 10))]), "tight")
    fields = json.loads(json.dumps(report.to_json()))
    assert fields["model"] == bright.name
    assert fields["protocol"] == "tight"
    score = report.sources["made"]
    assert fields["sources"] == {"made": {"miou": score.miou, "map": score.map, "n": 1}}


def test_two_empty_masks_agree():
    assert iou(np.zeros((3, 3), np.bool_), np.zeros((3, 3), np.bool_)) == 1.0


@pytest.fixture(scope="session")
def validation() -> Annotations:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        pytest.skip("GLASSES_DATA does not say where the validation pictures are")
    return load_annotations(Path(folder) / "val.json")


def filled(box: Roi, seen: Roi, ellipse: bool) -> Bits:
    """The cells of `seen` whose centre lies in the box, or in the ellipse that touches it."""
    v, u = np.mgrid[0:96, 0:96] + 0.5
    x = (seen.left + u * seen.width / 96 - box.centre[0]) / (box.width / 2)
    y = (seen.top + v * seen.height / 96 - box.centre[1]) / (box.height / 2)
    return x**2 + y**2 <= 1 if ellipse else np.maximum(abs(x), abs(y)) <= 1


@pytest.mark.parametrize(
    ("told", "ellipse", "coco", "ecssd"),
    [
        ("region", False, 0.376, 0.414),
        ("region", True, 0.444, 0.472),
        ("box", False, 0.584, 0.556),
        ("box", True, 0.619, 0.607),
    ],
)
def test_the_published_baselines_come_out(validation, told, ellipse, coco, ecssd):
    """What needs no network: the region without its padding, and the object's own box."""

    def predict(instance: Instance, asked: Roi) -> Bits:
        seen = visible(asked, validation.photos[instance.photo].size)
        assert seen is not None
        inner = Roi.around(*asked.centre, asked.width / 1.2, asked.height / 1.2)
        return filled(instance.box if told == "box" else inner, seen, ellipse)

    scores = measure(validation, "box", CELLS, predict)
    assert {name: score.n for name, score in scores.items()} == {"coco": 1110, "ecssd": 100}
    assert scores["coco"].miou == pytest.approx(coco, abs=0.001)
    assert scores["ecssd"].miou == pytest.approx(ecssd, abs=0.001)


def test_the_regions_of_both_protocols_are_those_published():
    assert region(Roi(10, 20, 30, 10), "tight") == Roi(7, 19, 36, 12)
    assert region(Roi(10, 20, 30, 10), "box") == Roi(7, 7, 36, 36)


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
        evaluate(bright, tmp_path / "nowhere.json", "box")


def test_a_file_without_objects_cannot_be_measured(bright, world):
    with pytest.raises(DataError, match=r"objects\.json has no object"):
        evaluate(bright, world([picture(1)], []), "box")


def test_a_missing_pycocotools_says_what_to_install(bright, world, monkeypatch):
    path = world([picture(1)], [annotation(1, block(10, 10, 5, 5))])
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ConfigError, match=r"pip install 'glasses-sdk\[eval\]'"):
        evaluate(bright, path, "box")


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
        (None, "No such file"),
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
        evaluate(bright, path, "box")


def test_a_whole_jpeg_is_read(world):
    path = world([picture(1)], [])
    (path.parent / "pictures/1.png").write_bytes(encoded(".jpg"))
    assert read_rgb(load_annotations(path).photos[0]).shape == (48, 64, 3)


def test_a_picture_of_another_size_than_annotated_is_named(bright, world):
    path = world([picture(1)], [annotation(1, block(10, 10, 5, 5))])
    cv2.imwrite(str(path.parent / "pictures/1.png"), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(DataError, match=r"1\.png is 30x20, its annotations say 64x48"):
        evaluate(bright, path, "box")
