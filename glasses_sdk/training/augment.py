"""What light and lens do to a region's pixels, and to nothing else: batches on any device."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["augment"]


def augment(rgb: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip, light, colour, blur and noise.

    rgb     [N, 3, H, W] float, 0..255
    target  [N, H, W] float, 1 = object
    returns the same shapes; the mask follows the flip only
    """
    n = rgb.shape[0]

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=generator) * (high - low) + low

    flip = draw(0, 1) < 0.5
    rgb = torch.where(flip, rgb.flip(3), rgb)
    target = torch.where(flip[:, 0], target.flip(2), target)

    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * draw(0.4, 1.5)  # saturation
    middle = rgb.mean((1, 2, 3), keepdim=True)
    rgb = middle + (rgb - middle) * draw(0.6, 1.4)  # contrast
    cast = 1 + (torch.rand(n, 3, 1, 1, generator=generator) - 0.5) * 0.2
    rgb = rgb * draw(0.65, 1.35) * cast  # exposure and white balance
    rgb = (rgb.clamp(0, 255) / 255) ** torch.exp(draw(-0.3, 0.3)) * 255  # gamma

    soft = torch.nn.functional.avg_pool2d(rgb, 3, 1, 1, count_include_pad=False)
    rgb = rgb.lerp(soft, (draw(-1, 1)).clamp(min=0))  # half of them out of focus
    noise = torch.randn(rgb.shape, generator=generator) * (draw(-8, 12)).clamp(min=0)
    return (rgb + noise).clamp(0, 255), target
