"""What a network costs: its parameters and its convolutions' multiplications."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Cost", "cost"]


@dataclass(frozen=True, slots=True)
class Cost:
    """macs: multiply-accumulates of the convolutions for one picture; norms, activations, and
    enlarging are not counted, biases neither."""

    parameters: int
    macs: int

    def __str__(self) -> str:
        return f"{self.parameters:,} parameters, {self.macs / 1e6:.0f} M MACs"


def cost(network: nn.Module, side: int) -> Cost:
    """Of a network of RGB [N, 3, H, W], for a picture of side x side."""
    macs: list[int] = []

    def count(convolution: nn.Conv2d, _: Any, output: Tensor) -> None:
        macs.append(output.numel() * prod(convolution.weight.shape[1:]))

    parts = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    hooks = [part.register_forward_hook(count) for part in parts]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, side, side))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in network.parameters()), sum(macs))
