"""PicoSAM3: the network that runs inside the sensor.

A depthwise-separable U-Net with a dilated bottleneck and channel attention; the prompt is
implicit, the object that the middle of the region shows. 1,371,418 parameters, as published;
1,369,821 with the textbook's attention.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from glasses_sdk.training.networks.blocks import (
    Attention,
    Normalize,
    SeparableBlock,
    Trunk,
    attention,
)

__all__ = ["PicoSam3"]


class PicoSam3(nn.Module):
    """RGB in 0..255 (published: 96 x 96) to logits, object where > 0."""

    def __init__(self, kind: Attention = "published") -> None:
        super().__init__()
        width = Trunk.decoder[-1]
        self.normalize = Normalize()
        self.trunk = Trunk(neck=SeparableBlock(Trunk.bottleneck, Trunk.bottleneck, dilation=2))
        self.attention = attention(kind, width)
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n h w"]:
        return self.head(self.attention(self.trunk(self.normalize(rgb)))).squeeze(1)
