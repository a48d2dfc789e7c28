"""A model of the contract in 8 bits, for this computer: onnxruntime's static quantization.

Weights for each channel, 7 of their 8 bits: processors without VNNI add pairs of products in 16
bits, which 8 would overflow. Scales by the smallest and largest value on representative regions;
percentiles and entropy took minutes and gave the same masks. The first two and the last two
convolutions stay in float: they take no time to speak of, and a step of 8 bits in the logits would
move every edge. So does what leads to other outputs than the mask.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (onnx and onnxruntime type only a part of themselves)

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from glasses_sdk.crop import Picture
from glasses_sdk.errors import ModelError
from glasses_sdk.network import Network

__all__ = ["quantize"]

_AT_ONCE = 8
_ENDS = 2  # convolutions
_COPIES = 4  # of the model, that lie on the disk at a time
_OPERATORS = ["Conv", "Relu", "Add", "Mul", "Resize", "GlobalAveragePool", "Sigmoid"]


def quantize(model: Path, out: Path, regions: Picture) -> None:
    """Write `model` in 8 bits to `out`.

    regions  [N, H, W, 3] uint8 of the model's input size: `representative`

    The file is there whole or not at all. Raises ModelError for a model that does not keep the
    contract or cannot be quantized, OSError where the disk has no room for it.
    """
    Network(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".int8-") as folder, _quiet():
        source, part = Path(folder) / "floats.onnx", Path(folder) / "int8.onnx"
        _see_to_room(part, _COPIES * model.stat().st_size)
        shutil.copy(model, source)  # the quantizer writes beside its source
        try:
            quantize_static(
                source,
                part,
                _Regions(regions),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=_in_float(onnx.load(source).graph),
            )
            Network(part)
        except Exception as error:  # onnxruntime's own errors share no public base
            raise ModelError(f"{model} cannot be quantized: {error}") from error
        part.replace(out)


def _see_to_room(file: Path, size: int) -> None:
    """onnxruntime itself does not notice a disk that is full, and stumbles over what it wrote."""
    with file.open("wb") as room:
        os.posix_fallocate(room.fileno(), 0, size)
    file.unlink()


class _Regions(CalibrationDataReader):
    def __init__(self, regions: Picture) -> None:
        self._parts = ({"rgb": regions[n : n + _AT_ONCE]} for n in range(0, len(regions), _AT_ONCE))

    def get_next(self) -> dict[str, Picture] | None:  # pyright: ignore
        return next(self._parts, None)


def _in_float(graph: Any) -> list[str]:
    """The names of the nodes at the ends, and of those that `logits` does not depend on."""
    wanted, leads, convolutions = {"logits"}, set[str](), list[str]()
    for node in reversed(graph.node):  # whatever is used comes before its user
        if wanted & set(node.output):
            wanted |= set(node.input)
            leads.add(node.name)
            convolutions += [node.name] if node.op_type == "Conv" else []
    beside = [node.name for node in graph.node if node.name not in leads]
    return [*convolutions[:_ENDS], *convolutions[-_ENDS:], *beside]


@contextmanager
def _quiet() -> Generator[None]:
    """Without onnxruntime's advice to preprocess the model, which its exporter has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
