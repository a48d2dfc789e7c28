"""The network out of a model of the contract, and back into it.

The chip has its own way from the picture to the network's input, and gives tensors as the network
left them. So bytes to numbers at the beginning, and at the end whatever is done with a few numbers
instead of maps (`score` and `box` out of a vector of five), belong to the model and not to the
chip's network.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (onnx types only a part of itself)

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
from onnx import helper, numpy_helper

from glasses_sdk.errors import ModelError

__all__ = ["Model", "in_plain_arithmetic"]

_BEFORE = {"Cast", "Transpose"}
_MAP = 4  # dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """An ONNX model of the contract, and the names between which its network lies.

    rgb      float [N, 3, H, W] in 0..255
    outputs  first the logits, then, where there is one, what the other outputs are made of
    """

    onnx: Any
    rgb: str
    outputs: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Model:
        try:
            model = onnx.shape_inference.infer_shapes(onnx.load(path))
        except Exception as error:  # protobuf's own errors share no public base
            raise ModelError(f"{path} is no ONNX file that can be read: {error}") from error
        names = ["logits", *(output.name for output in model.graph.output)]
        ends = [end for name in names for end in _ends(model.graph, name)]
        return cls(model, _after_the_start(model.graph), tuple(dict.fromkeys(ends)))

    def network(self) -> Any:
        """What the chip runs: `rgb` to `outputs`."""
        extractor = onnx.utils.Extractor(self.onnx)
        return extractor.extract_model([self.rgb], list(self.outputs))

    def around(self, network: Any) -> Any:
        """A model of the contract with this network, of the same inputs and outputs, in it."""
        inside = _own_names(network, self.rgb, self.outputs)
        graph = self.onnx.graph
        after = _leading(graph, [output.name for output in graph.output], set(self.outputs))
        constants = [one for one in graph.initializer if _is_read(one.name, after)]
        whole = helper.make_graph(
            [*_leading(graph, [self.rgb], set()), *inside.node, *after],
            "contract",
            list(graph.input),
            list(graph.output),
            [*inside.initializer, *constants],
        )
        return helper.make_model(
            whole, opset_imports=network.opset_import, ir_version=network.ir_version
        )


def in_plain_arithmetic(network: Any) -> Any:
    """The same network, each pair of QuantizeLinear and DequantizeLinear written out.

    onnxruntime takes such pairs for an invitation to compute in 8 bits itself, its own way; and
    the scales are powers of two, so that this is the same to the last bit.
    """
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in network.graph.node
        if node.op_type == "Constant"
    }
    pairs = [n for n in network.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zeros = {node.input[2] for node in pairs}
    if any(constants[zero] for zero in zeros):
        raise ModelError("the chip's zero is 0: this network was quantized for something else")
    plain = onnx.ModelProto()
    plain.CopyFrom(network)
    del plain.graph.node[:]
    for node in network.graph.node:
        if node.output[0] not in zeros:
            plain.graph.node.extend(_plain(node, constants))
    return plain


def _plain(node: Any, constants: dict[str, Any]) -> list[Any]:
    match node.op_type:
        case "QuantizeLinear":
            return _rounded(node, np.iinfo(constants[node.input[2]].dtype))
        case "DequantizeLinear":
            return [helper.make_node("Mul", node.input[:2], node.output)]
        case _:
            return [node]


def _rounded(node: Any, limits: Any) -> list[Any]:
    """Divided by the scale, rounded (half to even, as QuantizeLinear does), within the limits."""
    value, scale, _ = node.input
    (name,) = node.output
    bounds = {f"{name}/{end}": float(getattr(limits, end)) for end in ("min", "max")}
    return [
        *(
            helper.make_node("Constant", [], [bound], value_float=value)
            for bound, value in bounds.items()
        ),
        helper.make_node("Div", [value, scale], [f"{name}/scaled"]),
        helper.make_node("Round", [f"{name}/scaled"], [f"{name}/rounded"]),
        helper.make_node("Clip", [f"{name}/rounded", *bounds], [name]),
    ]


def _after_the_start(graph: Any) -> str:
    """The picture's last name: float, channels first."""
    (rgb,) = graph.input
    name = rgb.name
    for node in graph.node:
        if node.op_type in _BEFORE and node.input[0] == name:
            (name,) = node.output
    return name


def _ends(graph: Any, name: str) -> list[str]:
    """Where maps end on the way to this output: the last tensors that are made of one."""
    makers = {output: node for node in graph.node for output in node.output}
    maps = {one.name for one in graph.value_info if len(one.type.tensor_type.shape.dim) == _MAP}

    def above(name: str) -> list[str]:
        if name not in makers:
            return []
        if maps & set(makers[name].input):
            return [name]
        return [end for one in makers[name].input for end in above(one)]

    return above(name)


def _leading(graph: Any, to: list[str], start: set[str]) -> list[Any]:
    """The nodes that `to` is computed by out of `start`, in order."""
    wanted, found = set(to) - start, list[Any]()
    for node in reversed(graph.node):  # whatever is used comes before its user
        if wanted & set(node.output):
            wanted |= set(node.input) - start
            found.insert(0, node)
    return found


def _is_read(name: str, nodes: list[Any]) -> bool:
    return any(name in node.input for node in nodes)


def _own_names(network: Any, rgb: str, outputs: tuple[str, ...]) -> Any:
    """The network's graph, its ends called as here and everything else like nothing here."""
    ends = {network.graph.input[0].name: rgb}
    ends |= dict(zip((one.name for one in network.graph.output), outputs, strict=True))

    def renamed(name: str) -> str:
        return ends.get(name, f"imx500/{name}" if name else "")

    graph = onnx.GraphProto()
    graph.CopyFrom(network.graph)
    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for one in graph.initializer:
        one.name = renamed(one.name)
    return graph
