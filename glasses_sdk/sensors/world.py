"""The script of a made world: what moves where, as numbers that fit into a small file.

Everything is a closed form of time, so that any frame can be asked for in any order. Positions are
shares of the frame's width and height, sizes are shares of its height, times are seconds from the
first frame.
"""

from __future__ import annotations

from math import cos, exp, log, pi, radians, sin
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import DataError
from glasses_sdk.types import Size

__all__ = ["Actor", "Script", "Swing", "make_script", "read_script", "write_script"]

Affine = npt.NDArray[np.float64]
"""[2, 3]: a cut-out's pixels to frame pixels, both in the pixel-centre convention."""

SMALLEST, LARGEST = 0.08, 0.8  # heights of objects, shares of the frame's
_NARROWEST = 0.025  # a slender object is made taller until it is this wide
_BREATH = 0.22  # reach of the logarithm of the height
_BACKGROUNDS = ("grass", "gravel", "brick")


class Swing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantity that swings: middle + reach * sin(2 pi (t / period_s + phase))."""

    middle: float
    reach: float
    period_s: float
    phase: float

    def at(self, time_s: float) -> float:
        """Its value at a time."""
        return self.middle + self.reach * sin(2 * pi * (time_s / self.period_s + self.phase))


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cut-out photograph that moves: where its centre is, how tall and how tilted it is."""

    cutout: str
    mirrored: bool
    x: Swing
    y: Swing
    log_height: Swing
    roll_deg: Swing


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole world. Actors stand from back to front; an object's number is its place here."""

    seed: int
    width: int
    height: int
    fps: float
    background: str
    camera_x: Swing
    camera_y: Swing
    actors: tuple[Actor, ...]

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def camera(self, time_s: float) -> tuple[int, int]:
        """How far the camera has turned right and down, in whole frame pixels."""
        return (
            round(self.camera_x.at(time_s) * self.width),
            round(self.camera_y.at(time_s) * self.height),
        )

    def pose(self, actor: Actor, cutout: Size, time_s: float) -> Affine:
        """From the pixels of the actor's cut-out to frame pixels."""
        scale = exp(actor.log_height.at(time_s)) * self.height / cutout.height
        roll = radians(actor.roll_deg.at(time_s))
        across = -scale if actor.mirrored else scale
        turn = np.array(
            [[across * cos(roll), -scale * sin(roll)], [across * sin(roll), scale * cos(roll)]]
        )
        right, down = self.camera(time_s)
        centre = np.array(
            [
                actor.x.at(time_s) * self.width - right - 0.5,
                actor.y.at(time_s) * self.height - down - 0.5,
            ]
        )
        middle = np.array([(cutout.width - 1) / 2, (cutout.height - 1) / 2])
        return np.column_stack([turn, centre - turn @ middle])


def make_script(seed: int, size: Size, fps: float, cutouts: dict[str, Size]) -> Script:
    """The world of this seed: each cut-out once, heights spread evenly over their logarithm.

    Larger objects tend to stand behind smaller ones.
    """
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(sorted(cutouts))]
    steps = np.arange(len(names)) + rng.random(len(names))
    low, high = log(SMALLEST) + _BREATH, log(LARGEST) - _BREATH
    heights = low + steps / len(names) * (high - low)
    actors = [
        _make_actor(rng, name, float(height), cutouts[name])
        for name, height in zip(names, heights, strict=True)
    ]
    depth = [int(i) for i in np.argsort(-heights + rng.normal(0, 0.5, len(names)))]
    return Script(
        seed=seed,
        width=size.width,
        height=size.height,
        fps=fps,
        background=str(rng.choice(_BACKGROUNDS)),
        camera_x=_make_swing(rng, (0, 0), (0.05, 0.15), (12, 25)),
        camera_y=_make_swing(rng, (0, 0), (0.03, 0.08), (12, 25)),
        actors=tuple(actors[i] for i in depth),
    )


def _make_actor(rng: np.random.Generator, name: str, log_height: float, cutout: Size) -> Actor:
    slender = log(_NARROWEST * cutout.height / cutout.width) + _BREATH
    height = max(log_height, slender)
    return Actor(
        cutout=name,
        mirrored=bool(rng.random() < 0.5),
        x=_make_swing(rng, (0.25, 0.75), (0.3, 0.7), (14, 30)),
        y=_make_swing(rng, (0.35, 0.65), (0.1, 0.3), (9, 20)),
        log_height=_make_swing(rng, (height, height), (0.1, _BREATH), (8, 20)),
        roll_deg=_make_swing(rng, (-5, 5), (2, 10), (6, 15)),
    )


def _make_swing(
    rng: np.random.Generator,
    middle: tuple[float, float],
    reach: tuple[float, float],
    period_s: tuple[float, float],
) -> Swing:
    values = (*(rng.uniform(*limits) for limits in (middle, reach, period_s)), rng.random())
    return Swing(*(round(float(value), 6) for value in values))


def write_script(script: Script, path: Path) -> None:
    """The script as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(script)) + b"\n")


def read_script(path: Path) -> Script:
    """Raises DataError for a file that is not a world's script."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Script)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path} is not the file of a made world: {error}") from error
