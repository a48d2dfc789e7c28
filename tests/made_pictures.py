"""A made world of annotated pictures, and networks whose masks are known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glasses_sdk.network import Network
from glasses_sdk.types import Size

onnx = pytest.importorskip("onnx", reason="makes its networks with onnx (extra: train)")
mask_tools = pytest.importorskip("pycocotools.mask", reason="needs the extra eval")

FRAME = Size(64, 48)
WIDE = Size(32, 24)


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


def write_world(
    folder: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> Path:
    """An annotation file and, for each picture, its objects' boxes in white on black."""
    (folder / "pictures").mkdir(exist_ok=True)
    for image in images:
        white = np.zeros((image["height"], image["width"], 3), np.uint8)
        for entry in annotations:
            if entry["image_id"] == image["id"]:
                left, top, width, height = entry["bbox"]
                white[top : top + height, left : left + width] = 255
        cv2.imwrite(str(folder / image["file_name"]), white)
    path = folder / "objects.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def network(path: Path, threshold: float, size: Size = WIDE) -> Network:
    """To it whatever is brighter than the threshold is the object; of the score it is sure."""
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
