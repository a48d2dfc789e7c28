"""PicoSAM3 for larger pictures: ours, four times the cells in twice the work, small enough to fit.

What fills the chip's memory is not weights but maps of full size, stored in multiples of 32
channels. So nothing of full size has more than 32, channels are reduced before a map is enlarged,
and one more halving keeps the bottleneck as coarse, and its view as wide, as the original's.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from glasses_sdk.training.networks.blocks import (
    Attention,
    Down,
    Normalize,
    SeparableBlock,
    attention,
)

__all__ = ["PicoSam3Fine"]


class LeanUp(nn.Module):
    """Fewer channels, then nearest x2, the encoder's map added by a 1x1, then a separable block."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.skip = nn.Conv2d(skip, outputs, 1)
        self.block = SeparableBlock(outputs, outputs)

    def forward(
        self, low: Float[Tensor, "n inputs h w"], high: Float[Tensor, "n skip 2*h 2*w"]
    ) -> Float[Tensor, "n outputs 2*h 2*w"]:
        return self.block(self.enlarge(self.narrow(low)) + self.skip(high))


class PicoSam3Fine(nn.Module):
    """RGB in 0..255, a multiple of 32 a side (meant for 192 x 192), to logits, object where > 0."""

    encoder = (32, 64, 96, 160, 256)
    bottleneck = 320
    decoder = (192, 128, 96, 64, 32)

    def __init__(self, kind: Attention = "published") -> None:
        super().__init__()
        widths = (3, *self.encoder)
        self.normalize = Normalize()
        self.stages = nn.ModuleList(SeparableBlock(a, b) for a, b in pairwise(widths))
        self.downs = nn.ModuleList(Down(width) for width in self.encoder)
        self.neck = nn.Sequential(
            SeparableBlock(self.encoder[-1], self.bottleneck),
            SeparableBlock(self.bottleneck, self.bottleneck, dilation=2),
        )
        self.attention = attention(kind, self.bottleneck)
        inputs = (self.bottleneck, *self.decoder[:-1])
        self.ups = nn.ModuleList(
            LeanUp(a, skip, b)
            for a, skip, b in zip(inputs, reversed(self.encoder), self.decoder, strict=True)
        )
        self.head = nn.Conv2d(self.decoder[-1], 1, 1)

    def forward(self, rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n h w"]:
        skips: list[Tensor] = []
        x = self.normalize(rgb)
        for stage, down in zip(self.stages, self.downs, strict=True):
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.attention(self.neck(x))
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return self.head(x).squeeze(1)
