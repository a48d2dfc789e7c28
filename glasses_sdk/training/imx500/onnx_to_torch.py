"""A network, back from ONNX into PyTorch: what Sony's quantizer can work on.

The weights of a release are in its ONNX file and nowhere else, with the norms folded into the
convolutions. Runs in the converter's environment.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
# (torch and onnx type only a part of themselves)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, fx, nn

from glasses_sdk.errors import ModelError

__all__ = ["read_network"]

Attributes = dict[str, Any]


def read_network(path: Path) -> fx.GraphModule:
    """The same input to the same outputs, in evaluation mode.

    Raises ModelError, naming it, for an operator that is not known here.
    """
    source = onnx.load(path).graph
    reader = _Reader(source)
    for node in source.node:
        reader.take(node)
    return reader.finish([output.name for output in source.output])


class _Reader:
    """Node for node; `values` has what each name of the ONNX graph is in the new one."""

    def __init__(self, source: Any) -> None:
        self._root = nn.Module()
        self._graph = fx.Graph()
        self._constants = {one.name: _tensor(one) for one in source.initializer}
        (rgb,) = source.input
        self._values = {rgb.name: self._graph.placeholder("rgb")}

    def take(self, node: Any) -> None:
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        (output,) = node.output
        if node.op_type == "Constant":
            self._constants[output] = _tensor(attributes["value"])
        elif node.op_type == "Identity":  # of weights that are the same in several places
            self._constants[output] = self._constants[node.input[0]]
        elif node.op_type in _FUNCTIONS:
            operands = [self._value(name) for name in node.input]
            self._values[output] = self._graph.call_function(
                *_FUNCTIONS[node.op_type](attributes, operands)
            )
        elif node.op_type in _MODULES:
            name = f"{node.op_type.lower()}_{len(self._graph.nodes)}"
            constants = [self._constants.get(name) for name in node.input[1:]]
            self._root.add_module(name, _MODULES[node.op_type](attributes, constants))
            self._values[output] = self._graph.call_module(name, (self._values[node.input[0]],))
        else:
            known = ", ".join(sorted({*_FUNCTIONS, *_MODULES}))
            raise ModelError(f"operator {node.op_type} is not known here; known: {known}")

    def finish(self, outputs: list[str]) -> fx.GraphModule:
        values = tuple(self._values[name] for name in outputs)
        self._graph.output(values[0] if len(values) == 1 else values)
        return fx.GraphModule(self._root, self._graph).eval()

    def _value(self, name: str) -> fx.Node | list[int]:
        """A node; of whole numbers, the numbers: they are axes and not data."""
        if name not in self._constants:
            return self._values[name]
        constant = self._constants[name]
        if not constant.is_floating_point():
            return constant.tolist()
        own = f"constant_{len(self._graph.nodes)}"
        self._root.register_buffer(own, constant)
        return self._graph.get_attr(own)


def _tensor(proto: Any) -> Tensor:
    return torch.from_numpy(onnx.numpy_helper.to_array(proto).copy())


Call = tuple[Callable[..., Any], tuple[Any, ...]]


def _plain(function: Callable[..., Any]) -> Callable[[Attributes, list[Any]], Call]:
    return lambda _, operands: (function, tuple(operands))


def _at_axis(function: Callable[..., Any]) -> Callable[[Attributes, list[Any]], Call]:
    return lambda _, operands: (function, (operands[0], operands[1][0]))


_FUNCTIONS: dict[str, Callable[[Attributes, list[Any]], Call]] = {
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Concat": lambda attributes, operands: (torch.cat, (operands, attributes["axis"])),
    "Flatten": lambda attributes, operands: (torch.flatten, (operands[0], attributes["axis"])),
    "Squeeze": _at_axis(torch.squeeze),
    "Unsqueeze": _at_axis(torch.unsqueeze),
}


def _conv(attributes: Attributes, constants: list[Any]) -> nn.Module:
    weight, bias = constants[0], constants[1] if len(constants) > 1 else None
    groups, pads = attributes["group"], attributes["pads"]
    if pads[:2] != pads[2:]:
        raise ModelError(f"a convolution is padded alike on both sides, not by {pads}")
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(attributes["strides"]),
        padding=tuple(pads[:2]),
        dilation=tuple(attributes["dilations"]),
        groups=groups,
        bias=bias is not None,
    )
    conv.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return conv


def _resize(attributes: Attributes, constants: list[Any]) -> nn.Module:
    mode = attributes["mode"].decode()
    if mode != "nearest":
        raise ModelError(f"what is enlarged is enlarged by nearest, not {mode}")
    _, _, height, width = constants[1].tolist()
    return nn.Upsample(scale_factor=(height, width), mode="nearest")


def _average(attributes: Attributes, constants: list[Any]) -> nn.Module:
    return nn.AvgPool2d(tuple(attributes["kernel_shape"]), tuple(attributes["strides"]))


_MODULES: dict[str, Callable[[Attributes, list[Any]], nn.Module]] = {
    "AveragePool": _average,
    "Conv": _conv,
    "GlobalAveragePool": lambda _, __: nn.AdaptiveAvgPool2d(1),
    "Relu": lambda _, __: nn.ReLU(),
    "Resize": _resize,
    "Sigmoid": lambda _, __: nn.Sigmoid(),
}
