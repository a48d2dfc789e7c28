"""Where a protocol looks, before the region is cut at the picture's border."""

from __future__ import annotations

import numpy as np

from glasses_sdk.annotations import Instance
from glasses_sdk.evaluation.settings import Protocol, Settings
from glasses_sdk.geometry import padded, square
from glasses_sdk.types import Roi, Size

__all__ = ["at_click", "competitors", "misjudged", "region"]

_LEAST = 0.05  # of a side: what is left of one, however wrong it is


def region(box: Roi, protocol: Protocol, padding: float = Settings().padding) -> Roi:
    """The region of `box` or `tight` in which an object is judged."""
    around = padded(box, padding)
    return square(around) if protocol == "box" else around


def misjudged(box: Roi, error: float, frame: Size, rng: np.random.Generator) -> Roi:
    """The box as somebody gives it who errs by `error`, after PicoSAM3.

    Its corner moves by U(-error/2, error/2) of its width and height, each side is scaled by
    1 + N(0, error/2), and what lies outside the picture is cut off.
    """
    x, y = rng.uniform(-error / 2, error / 2, 2)
    w, h = np.maximum(1 + rng.normal(0, error / 2, 2), _LEAST)
    left, right = _cut(box.left + x * box.width, box.width * w, frame.width)
    top, bottom = _cut(box.top + y * box.height, box.height * h, frame.height)
    return Roi(left, top, right - left, bottom - top)


def _cut(start: float, length: float, limit: int) -> tuple[float, float]:
    """Both ends inside 0 to `limit`, a pixel apart at least if it was."""
    first = min(max(start, 0.0), limit - min(length, 1.0))
    return first, max(min(start + length, float(limit)), first + min(length, 1.0))


def at_click(click: tuple[int, int], cells: Size) -> Roi:
    """PicoSAM2's region: as many pixels as the network has cells, the click in the middle.

    At the left and the top it is moved into the picture; at the right and the bottom it is cut.
    """
    column, row = click
    left, top = column - cells.width // 2, row - cells.height // 2
    return Roi(max(left, 0), max(top, 0), cells.width, cells.height)


def competitors(asked: Roi, others: list[Instance]) -> int:
    """How many other objects have the middle of their box in the region."""
    middles = (other.box.centre for other in others)
    return sum(asked.left <= x < asked.right and asked.top <= y < asked.bottom for x, y in middles)
