"""PicoSAM2: the first network that segmented inside the sensor.

A depthwise-separable U-Net; the prompt is implicit, the object that the middle of the region
shows. 1,262,818 parameters, as published.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from glasses_sdk.training.networks.blocks import Normalize, Trunk

__all__ = ["PicoSam2"]


class PicoSam2(nn.Module):
    """RGB in 0..255 (published: 96 x 96) to logits, object where > 0."""

    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.trunk = Trunk()
        self.head = nn.Conv2d(Trunk.decoder[-1], 1, 1)

    def forward(self, rgb: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n h w"]:
        return self.head(self.trunk(self.normalize(rgb))).squeeze(1)
