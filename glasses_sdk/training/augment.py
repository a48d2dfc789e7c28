"""Samples made other than they were: whole batches at once, on the device that they are on."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from dataclasses import replace
from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample, interpolate, pad

from glasses_sdk.training.data import Batch, Lesson
from glasses_sdk.training.recipe import DataRecipe

__all__ = ["augment"]

Rgb = Float[Tensor, "n 3 h w"]
Flags = Bool[Tensor, " n"]

_TURN = pi / 18
_SURELY_NOT = -10.0  # a teacher's logit where another object was laid


def augment(batch: Batch, recipe: DataRecipe, generator: torch.Generator) -> Batch:
    """Other backgrounds and neighbours, flip, turn, light, colour, lens and sensor.

    The shares are the recipe's; `generator` is of the batch's device.
    """
    draw = _Draw(len(batch.instances), generator)
    batch = _elsewhere(batch, draw.yes(recipe.paste), draw)
    if recipe.clutter:
        batch = _cluttered(batch, draw.yes(recipe.clutter), draw)
    if recipe.turn:
        batch = _turned(batch, draw.yes(recipe.turn), draw)
    batch = _flipped(batch, draw.yes(0.5))
    rgb = _photographed(batch.rgb, draw)
    if recipe.degrade:
        rgb = _degraded(rgb, draw.yes(recipe.degrade), draw)
    return replace(batch, rgb=rgb)


class _Draw:
    """Random numbers for each of n samples."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n, self._generator = n, generator

    def between(self, low: float, high: float, channels: int = 1) -> Float[Tensor, "n c 1 1"]:
        return self._uniform(self.n, channels, 1, 1) * (high - low) + low

    def yes(self, share: float) -> Flags:
        return self._uniform(self.n) < share

    def noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._generator, device=like.device)

    def others(self) -> Tensor:
        """For each sample another one, or rarely itself."""
        device = self._generator.device
        return torch.randperm(self.n, generator=self._generator, device=device)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._generator.device)


def _maps(flags: Flags) -> Bool[Tensor, "n 1 1"]:
    return flags[:, None, None]


def _pictures(flags: Flags) -> Bool[Tensor, "n 1 1 1"]:
    return flags[:, None, None, None]


def _middle(maps: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    return maps[:, maps.shape[1] // 2, maps.shape[2] // 2]


# What is in the picture


def _elsewhere(batch: Batch, wanted: Flags, draw: _Draw) -> Batch:
    """The object, cut out and laid over another sample's picture.

    Copy-paste (Ghiasi et al., CVPR 2021), but of the region's own object: what is around it says
    nothing any more. Only objects that cover the region's middle, or the prompt would be another.
    """
    others = draw.others()
    cut = wanted & (_middle(batch.target) > 0)
    edge = avg_pool2d(batch.target.unsqueeze(1), 3, 1, 1, count_include_pad=False)
    pasted = batch.rgb[others].lerp(batch.rgb, edge)
    return replace(batch, rgb=torch.where(_pictures(cut), pasted, batch.rgb))


def _cluttered(batch: Batch, wanted: Flags, draw: _Draw) -> Batch:
    """Another sample's object, smaller, perhaps mirrored, laid somewhere beside the middle.

    What is covered is no longer the object's. Left as it was where more than half of the object or
    the region's middle would be covered, for then the prompt would be the other one.
    """
    others = draw.others()
    size, angle, distance = (
        draw.between(low, high)[:, 0, 0, 0] for low, high in ((0.3, 0.9), (0, 2 * pi), (0.4, 1.2))
    )
    across, down = distance * angle.cos(), distance * angle.sin()
    side = torch.where(draw.yes(0.5), -size, size)
    zero = torch.zeros_like(size)
    theta = torch.stack(
        [
            torch.stack([1 / side, zero, -across / side], 1),
            torch.stack([zero, 1 / size, -down / size], 1),
        ],
        1,
    )
    both = torch.cat([batch.rgb, batch.target.unsqueeze(1)], 1)[others]
    moved = _moved(both, theta, "zeros")
    over = moved[:, 3]
    left = batch.target * (over < 0.5)
    enough = left.sum((1, 2)) >= 0.5 * batch.target.sum((1, 2))
    laid = wanted & enough & (_middle(over) < 0.5)
    over = over * _maps(laid)
    return replace(
        batch,
        rgb=batch.rgb.lerp(moved[:, :3], over.unsqueeze(1)),
        target=torch.where(_maps(laid), left, batch.target),
        lesson=_covered(batch.lesson, over),
    )


def _covered(lesson: Lesson | None, over: Float[Tensor, "n h w"]) -> Lesson | None:
    if lesson is None:
        return None
    return replace(lesson, logits=torch.where(over < 0.5, lesson.logits, _SURELY_NOT))


# How it lies


def _flipped(batch: Batch, wanted: Flags) -> Batch:
    def mirrored(maps: Tensor) -> Tensor:
        return torch.where(_maps(wanted), maps.flip(2), maps)

    rgb = torch.where(_pictures(wanted), batch.rgb.flip(3), batch.rgb)
    said = batch.lesson
    lesson = replace(said, logits=mirrored(said.logits)) if said else None
    return replace(batch, rgb=rgb, target=mirrored(batch.target), lesson=lesson)


def _turned(batch: Batch, wanted: Flags, draw: _Draw) -> Batch:
    """By up to ten degrees about the middle; corners from outside repeat the border."""
    angle = draw.between(-_TURN, _TURN)[:, 0, 0, 0] * wanted
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)

    def turned(maps: Tensor, mode: str = "bilinear") -> Tensor:
        return _moved(maps.unsqueeze(1), theta, "border", mode).squeeze(1)

    said = batch.lesson
    return replace(
        batch,
        rgb=_moved(batch.rgb, theta, "border"),
        target=turned(batch.target, "nearest"),
        lesson=replace(said, logits=turned(said.logits)) if said else None,
    )


def _moved(maps: Tensor, theta: Tensor, outside: str, mode: str = "bilinear") -> Tensor:
    """theta [N, 2, 3]: from places in the result to places in `maps`, -1 to 1 from edge to edge."""
    grid = affine_grid(theta, list(maps.shape), align_corners=False)
    return grid_sample(maps, grid, mode, outside, align_corners=False)


# How it is seen


def _photographed(rgb: Rgb, draw: _Draw) -> Rgb:
    """What light and lens do, in 0..255."""
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * draw.between(0.4, 1.5)  # saturation
    middle = rgb.mean((1, 2, 3), keepdim=True)
    rgb = middle + (rgb - middle) * draw.between(0.6, 1.4)  # contrast
    rgb = rgb * draw.between(0.65, 1.35) * draw.between(0.9, 1.1, 3)  # exposure, white balance
    rgb = (rgb.clamp(0, 255) / 255) ** torch.exp(draw.between(-0.3, 0.3)) * 255  # gamma

    soft = avg_pool2d(rgb, 3, 1, 1, count_include_pad=False)
    rgb = rgb.lerp(soft, draw.between(-1, 1).clamp(min=0))  # half of them out of focus
    return (rgb + draw.noise(rgb) * draw.between(-8, 12).clamp(min=0)).clamp(0, 255)


def _degraded(rgb: Rgb, wanted: Flags, draw: _Draw) -> Rgb:
    """What a small sensor does: few pixels, a long exposure in motion, or few photons."""
    few = interpolate(avg_pool2d(rgb, 2), size=rgb.shape[2:], mode="bilinear", align_corners=False)
    seen = torch.where(_pictures(draw.yes(0.5)), few, rgb)
    seen = torch.where(_pictures(draw.yes(0.5)), _in_motion(seen, draw), seen)
    photons = draw.between(1.5, 6) ** 2  # a grey level's worth; their number varies by its root
    seen = seen + draw.noise(seen) * (seen / photons).sqrt()
    return torch.where(_pictures(wanted), seen.clamp(0, 255), rgb)


def _in_motion(rgb: Rgb, draw: _Draw) -> Rgb:
    """The mean along five pixels in one of four directions."""
    line = torch.eye(5, device=rgb.device)
    level = torch.zeros_like(line)
    level[2] = 1
    lines = torch.stack([line, line.flip(0), level, level.T]) / 5
    n, channels, height, width = rgb.shape
    which = (draw.between(0, 4)[:, 0, 0, 0]).long().clamp(max=3)
    kernels = lines[which].repeat_interleave(channels, 0).unsqueeze(1)
    flat = pad(rgb, (2, 2, 2, 2), mode="replicate").reshape(1, n * channels, height + 4, width + 4)
    return conv2d(flat, kernels, groups=n * channels).reshape(rgb.shape)
