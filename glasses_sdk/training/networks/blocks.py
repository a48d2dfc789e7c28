"""The layers that the PicoSAM networks are made of."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

# ImageNet statistics on 0..255: normalisation is the network's first layer, so that everybody
# feeds plain RGB bytes and the IMX500 (which hands its network p / 256 or p) sees the same thing.
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)


class Normalize(nn.Module):
    """RGB in 0..255, [N, 3, H, W], to zero mean and unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        return (rgb - self.mean) / self.std


class SeparableBlock(nn.Sequential):
    """Depthwise 3x3, BN, ReLU, pointwise, BN, ReLU: [N, inputs, H, W] to [N, outputs, H, W]."""

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

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.block(self.enlarge(low)) + self.skip(high)


class Trunk(nn.Module):
    """The U-Net that PicoSAM2 and PicoSAM3 share: [N, 3, H, W] to [N, 40, H, W].

    H and W are multiples of 16; the published networks use 96.
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

    def forward(self, picture: Tensor) -> Tensor:
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
