"""What is measured: the protocol and its few choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ConfigError

__all__ = ["Bitmap", "Clicks", "Protocol", "Settings"]

Protocol = Literal["box", "tight", "point", "servo"]
Bitmap = npt.NDArray[np.uint8]
"""A mask in its picture's pixels, [H, W], 1 = object."""

_PADDING = 0.1


@dataclass(frozen=True, slots=True)
class Clicks:
    """Where on an object somebody clicks.

    Without a seed: the middle of its mask's box, or the pixel of the mask nearest to that. With
    one: any pixel of the mask that is at least half as far from the mask's edge as the farthest.
    """

    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> Clicks:
        """From `centre` or `random:SEED`. Raises ConfigError for anything else."""
        kind, _, seed = text.partition(":")
        if text == "centre":
            return cls()
        if kind == "random" and seed.isdecimal():
            return cls(int(seed))
        raise ConfigError(f"no clicks {text!r}; known: centre, random:SEED")

    def __str__(self) -> str:
        return "centre" if self.seed is None else f"random:{self.seed}"

    def on(self, mask: Bitmap, name: object) -> tuple[int, int]:
        """Column and row of a pixel of the mask; the same one whenever `name` is the same."""
        if self.seed is None:
            return _middle(mask)
        depth = _depth(mask)
        inside = np.flatnonzero(depth >= depth.max() / 2)
        row, column = divmod(int(seeded(self.seed, name).choice(inside)), mask.shape[1])
        return column, row


def seeded(seed: int, name: object) -> np.random.Generator:
    """A generator of this object's own, whatever other objects are measured beside it."""
    return np.random.default_rng([seed, *str(name).encode()])


def _middle(mask: Bitmap) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    x = (int(columns.min()) + int(columns.max()) + 1) // 2
    y = (int(rows.min()) + int(rows.max()) + 1) // 2
    nearest = int(np.argmin((columns - x) ** 2 + (rows - y) ** 2))
    return int(columns[nearest]), int(rows[nearest])


def _depth(mask: Bitmap) -> npt.NDArray[np.float32]:
    """Of each pixel, how far it is to the nearest one that is not in the mask."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]  # pyright: ignore[reportReturnType]


@dataclass(frozen=True, slots=True)
class Settings:
    """A protocol, and how it is run. Raises ConfigError where a choice belongs to another one.

    protocol   `box` the padded box made square (published), `tight` the padded box, `point` a
               region of the network's own size around a click (PicoSAM2), `servo` the tracker,
               from a click on
    padding    share of the box's width and height on each side (box, tight)
    box_error  how imprecise the box is, see `regions.misjudged`; above 0 each object is measured
               with five seeds (box, tight)
    clicks     None is the protocol's own: the middle for `point`, seed 0 for `servo`
    baselines  measure what needs no network beside it (not servo)
    skip_bad   leave out objects and pictures that are damaged, instead of refusing the file
    """

    protocol: Protocol = "box"
    padding: float = _PADDING
    box_error: float = 0.0
    clicks: Clicks | None = None
    baselines: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in get_args(Protocol):
            known = ", ".join(get_args(Protocol))
            raise ConfigError(f"no protocol {self.protocol!r}; known: {known}")
        for name in ("padding", "box_error"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} lies in 0 to 100 %, not {getattr(self, name):.0%}")
        wrong = self._misplaced()
        if wrong:
            raise ConfigError(f"protocol {self.protocol} has no {wrong[0]}: leave it out")

    def _misplaced(self) -> list[str]:
        """What was chosen and is none of this protocol's."""
        choices = {
            "padding to choose": (self.padding != _PADDING, self.has_boxes),
            "box error": (self.box_error > 0, self.has_boxes),
            "baselines": (self.baselines, self.protocol != "servo"),
            "clicks": (self.clicks is not None, not self.has_boxes),
        }
        return [what for what, (given, fits) in choices.items() if given and not fits]

    @property
    def has_boxes(self) -> bool:
        return self.protocol in ("box", "tight")

    @property
    def clicking(self) -> Clicks:
        """The clicks chosen, or the protocol's own."""
        return self.clicks or (Clicks(0) if self.protocol == "servo" else Clicks())

    @property
    def seeds(self) -> range:
        return range(5 if self.box_error else 1)
