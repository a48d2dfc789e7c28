from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses_sdk.errors import ModelError
from glasses_sdk.network import Network
from glasses_sdk.types import Size

onnx = pytest.importorskip("onnx", reason="makes its networks with onnx (extra: train)")
FLOAT, UINT8, INT32 = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT32,
)


def save(
    path: Path,
    rgb: tuple[str, int, list[Any]] = ("rgb", UINT8, ["n", 6, 8, 3]),
    logits: tuple[str, int, list[Any]] = ("logits", FLOAT, ["n", 6, 8]),
    score: float | None = None,
    extra: tuple[str, int, list[Any]] | None = None,
) -> Path:
    """A network whose logits are the mean of the three channels less 100."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", [rgb[0]], ["float"], to=FLOAT),
        helper.make_node("ReduceMean", ["float"], ["grey"], axes=[-1], keepdims=0),
        helper.make_node("Sub", ["grey", "level"], ["difference"]),
        helper.make_node("Cast", ["difference"], [logits[0]], to=logits[1]),
    ]
    outputs = [helper.make_tensor_value_info(*logits)]
    if score is not None:
        nodes += [
            helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "sure"], ["score"]),
        ]
        outputs.append(helper.make_tensor_value_info("score", FLOAT, ["n"]))
    constants = {"level": 100.0, "zero": 0.0, "sure": score or 0.0}
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*one) for one in (rgb, extra) if one],
        outputs,
        [helper.make_tensor(name, FLOAT, [], [value]) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


def grey(level: float, shape: tuple[int, ...] = (6, 8, 3)) -> np.ndarray:
    return np.full(shape, level, np.uint8)


def test_a_network_that_keeps_the_contract_knows_its_input(tmp_path):
    assert Network(save(tmp_path / "made.onnx")).input == Size(8, 6)


def test_logits_come_out_as_the_file_computes_them(tmp_path):
    batch = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), np.uint8)
    logits, score = Network(save(tmp_path / "made.onnx")).logits(batch)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(batch.mean(axis=3) - 100, abs=1e-4)
    assert score.shape == (5,)


def test_the_object_is_where_the_logits_are_above_zero(tmp_path):
    picture = grey(100)
    picture[2:4, 3:5] = 101
    bits = Network(save(tmp_path / "made.onnx")).segment(picture).bits
    wanted = np.zeros((6, 8), np.bool_)
    wanted[2:4, 3:5] = True
    assert bits.dtype == np.bool_
    assert np.array_equal(bits, wanted)


def test_without_a_score_the_certainty_over_the_masks_cells_stands_for_it(tmp_path):
    picture = grey(0)  # cells outside the mask are sure, and count for nothing
    picture[0, 0], picture[0, 1] = 101, 103
    score = Network(save(tmp_path / "made.onnx")).segment(picture).score
    sigmoids = [1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(-3.0))]
    assert score == pytest.approx(sum(sigmoids) / 2)


def test_an_empty_mask_has_score_zero(tmp_path):
    segmentation = Network(save(tmp_path / "made.onnx")).segment(grey(0))
    assert not segmentation.bits.any()
    assert segmentation.score == 0


@pytest.mark.parametrize(("said", "score"), [(0.625, 0.625), (1.5, 1.0), (-0.5, 0.0)])
def test_a_networks_own_score_is_taken_and_kept_in_range(tmp_path, said, score):
    assert Network(save(tmp_path / "made.onnx", score=said)).segment(grey(200)).score == score


def test_a_model_is_named_by_its_file_and_checksum(tmp_path):
    path = save(tmp_path / "made.onnx")
    assert Network(path).name == f"made@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def test_a_release_is_named_by_its_folder(tmp_path):
    (tmp_path / "picosam9").mkdir()
    path = save(tmp_path / "picosam9" / "int8.onnx")
    assert Network(path).name.startswith("picosam9-int8@")


def test_a_long_name_fits_the_wires_48_characters(tmp_path):
    path = save(tmp_path / f"{'a' * 90}.onnx")
    assert len(Network(path).name) == 48


@pytest.mark.parametrize(
    "change",
    [
        {"rgb": ("picture", UINT8, ["n", 6, 8, 3])},
        {"rgb": ("rgb", FLOAT, ["n", 6, 8, 3])},
        {"rgb": ("rgb", UINT8, ["n", 3, 6, 8])},
        {"rgb": ("rgb", UINT8, [6, 8, 3]), "logits": ("logits", FLOAT, [6, 8])},
        {"rgb": ("rgb", UINT8, ["n", 6, 8, 4])},
        {"extra": ("click", FLOAT, ["n", 2])},
    ],
    ids=["name", "type", "channels first", "no batch", "four channels", "second input"],
)
def test_another_input_is_refused_and_shown(tmp_path, change):
    with pytest.raises(ModelError, match=r"made\.onnx does not keep .* input `rgb` uint8"):
        Network(save(tmp_path / "made.onnx", **change))


@pytest.mark.parametrize(
    "change",
    [
        {"logits": ("mask", FLOAT, ["n", 6, 8])},
        {"logits": ("logits", INT32, ["n", 6, 8])},
        {
            "rgb": ("rgb", UINT8, ["n", "h", "w", 3]),
            "logits": ("logits", FLOAT, ["n", "height", "width"]),
        },
    ],
    ids=["name", "type", "unknown size"],
)
def test_other_outputs_are_refused_and_shown(tmp_path, change):
    with pytest.raises(ModelError, match=r"made\.onnx does not keep .* output `logits` float32"):
        Network(save(tmp_path / "made.onnx", **change))


def test_logits_of_another_size_than_the_input_are_refused(tmp_path):
    helper = onnx.helper
    path = tmp_path / "half.onnx"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["rgb"], ["float"], to=FLOAT),
            helper.make_node("ReduceMean", ["float"], ["grey"], axes=[3], keepdims=0),
            helper.make_node("Slice", ["grey", "starts", "ends", "axes"], ["logits"]),
        ],
        "half",
        [helper.make_tensor_value_info("rgb", UINT8, ["n", 6, 8, 3])],
        [helper.make_tensor_value_info("logits", FLOAT, ["n", 3, 4])],
        [
            helper.make_tensor(name, onnx.TensorProto.INT64, [2], value)
            for name, value in {"starts": [0, 0], "ends": [3, 4], "axes": [1, 2]}.items()
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    with pytest.raises(ModelError, match=r"\[N, 6, 8\] is wanted"):
        Network(path)


@pytest.mark.parametrize("sides", [[257, 8], [8, 257], ["height", "width"]])
def test_an_input_that_no_mask_can_have_is_refused(tmp_path, sides):
    change = {"rgb": ("rgb", UINT8, ["n", *sides, 3]), "logits": ("logits", FLOAT, ["n", *sides])}
    with pytest.raises(ModelError, match="1 to 256 a side is wanted"):
        Network(save(tmp_path / "made.onnx", **change))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read model .*nowhere\.onnx: No such file"):
        Network(tmp_path / "nowhere.onnx")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="Is a directory"):
        Network(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(1000), b"\xff" * 1000])
def test_junk_is_no_model(tmp_path, content):
    path = tmp_path / "junk.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"junk\.onnx"):
        Network(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_no_model(tmp_path, share):
    path = save(tmp_path / "made.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=r"made\.onnx is no model .*glasses models verify"):
        Network(path)
