"""The layers that the PicoSAM networks are made of."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Attention", "Down", "Normalize", "SeparableBlock", "Trunk", "attention"]

Attention = Literal["published", "eca"]

# ImageNet statistics on 0..255: normalisation is the network's first layer, so that everybody
# feeds plain RGB bytes and the IMX500 (which hands its network p / 256 or p) sees the same thing.
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)


class Normalize(nn.Module):
    """RGB in 0..255 to zero mean and unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))

    def forward(self, rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        return (rgb - self.mean) / self.std


class SeparableBlock(nn.Sequential):
    """Depthwise 3x3, BN, ReLU, pointwise, BN, ReLU; height and width stay."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(
                inputs,
                inputs,
                3,
                padding=dilation,
                dilation=dilation,
                groups=inputs,
                bias=False,
            ),
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Down(nn.Conv2d):
    """Plain 3x3 convolution of stride 2: halves height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1, bias=False)


class Up(nn.Module):
    """Nearest x2, a separable block, and the encoder's map of the same size added by a 1x1."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.block = SeparableBlock(inputs, outputs)
        self.skip = nn.Conv2d(skip, outputs, 1)

    def forward(
        self, low: Float[Tensor, "n inputs h w"], high: Float[Tensor, "n skip 2*h 2*w"]
    ) -> Float[Tensor, "n outputs 2*h 2*w"]:
        return self.block(self.enlarge(low)) + self.skip(high)


class Trunk(nn.Module):
    """The U-Net that PicoSAM2 and PicoSAM3 share.

    Height and width are multiples of 16; the published networks use 96.
    """

    encoder = (48, 96, 160, 256)
    bottleneck = 320
    decoder = (192, 128, 80, 40)

    def __init__(self, neck: nn.Module | None = None) -> None:
        super().__init__()
        widths = (3, *self.encoder)
        self.stages = nn.ModuleList(SeparableBlock(a, b) for a, b in pairwise(widths))
        self.downs = nn.ModuleList(Down(width) for width in self.encoder)
        self.neck = nn.Sequential(
            SeparableBlock(self.encoder[-1], self.bottleneck), neck or nn.Identity()
        )
        inputs = (self.bottleneck, *self.decoder[:-1])
        self.ups = nn.ModuleList(
            Up(a, skip, b)
            for a, skip, b in zip(inputs, reversed(self.encoder), self.decoder, strict=True)
        )

    def forward(self, picture: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 40 h w"]:
        skips: list[Tensor] = []
        x = picture
        for stage, down in zip(self.stages, self.downs, strict=True):
            x = stage(x)
            skips.append(x)
            x = down(x)
        x = self.neck(x)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return x


def attention(kind: Attention, channels: int) -> nn.Module:
    """A layer that weighs each channel by the picture's own statistics."""
    return FullAttention(channels) if kind == "published" else EfficientAttention()


class FullAttention(nn.Module):
    """What PicoSAM3's code has: each channel's weight depends on all channels' means.

    The paper calls it ECA; its code has a full C x C convolution on the pooled map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x * self.gate(self.weigh(self.pool(x)))


class EfficientAttention(nn.Module):
    """ECA as its own paper has it (Wang et al., CVPR 2020): a kernel of three along the channels.

    A convolution of two dimensions, one of them of length 1: the IMX500 takes no other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        row = self.pool(x).flatten(1).unsqueeze(1).unsqueeze(1)  # [n, 1, 1, c]
        weights = self.gate(self.weigh(row)).flatten(1)
        return x * weights.unsqueeze(2).unsqueeze(3)
