"""PicoSAM3: the network that runs inside the sensor.

A depthwise-separable U-Net with a dilated bottleneck and channel attention; the prompt is
implicit, the object that the middle of the region shows. 1,371,418 parameters, as published.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from torch import Tensor, nn

from glasses_sdk.training.networks.blocks import Normalize, SeparableBlock, Trunk


class ChannelAttention(nn.Module):
    """Weighs each channel by the picture's own statistics: [N, C, H, W] to the same shape.

    The paper calls it ECA; its code, followed here, has a full C x C 1x1 convolution on the
    pooled map instead of the textbook's kernel of three.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.weigh(self.pool(x)))


class PicoSam3(nn.Module):
    """RGB in 0..255, [N, 3, H, W] (published: 96 x 96), to logits [N, H, W], object where > 0."""

    def __init__(self) -> None:
        super().__init__()
        width = Trunk.decoder[-1]
        self.normalize = Normalize()
        self.trunk = Trunk(neck=SeparableBlock(Trunk.bottleneck, Trunk.bottleneck, dilation=2))
        self.attention = ChannelAttention(width)
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        return self.head(self.attention(self.trunk(self.normalize(rgb)))).squeeze(1)
