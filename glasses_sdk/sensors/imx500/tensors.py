"""Output tensors to one binary mask and a score.

The network gives a logit map, object where > 0, and optionally a second tensor: its estimate of the
mask's IoU (one number, 0 to 1), or five numbers of which the first is that estimate's logit and the
rest describe the object's box.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ModelError
from glasses_sdk.types import Bits, Size

__all__ = ["Found", "check", "parse"]

Tensor = npt.NDArray[Any]

_SCORE, _FIT = 1, 5  # numbers in the second tensor


class Found(NamedTuple):
    """bits [height, width] bool, score 0 to 1."""

    bits: Bits
    score: float


def check(shapes: Sequence[Sequence[int]], cells: Size) -> None:
    """Raises ModelError unless tensors of these shapes are a mask of `cells`, with or without fit.

    Axes of length 1 do not count, nor does the order: the converter's and the camera's may differ.
    """
    lean = sorted((tuple(side for side in shape if side != 1) for shape in shapes), key=len)
    if lean in ([mask := (cells.height, cells.width)], [(), mask], [(_FIT,), mask]):
        return
    raise ModelError(
        f"this network is another one: its outputs are {[tuple(shape) for shape in shapes]}, "
        f"wanted is one mask of {mask}, with or without 1 or 5 numbers; convert one of ours"
    )


def parse(tensors: Sequence[Tensor], cells: Size, scale: float = 1.0) -> Found | None:
    """The mask and its score; None for tensors that are cut short or are no numbers.

    tensors  one or two, in any memory order, with or without axes of length 1; floats, or signed
             integers that are `scale` each
    """
    logits, *fit = sorted(tensors, key=np.size, reverse=True)
    if logits.size != cells.width * cells.height or not isfinite(logits.sum()):
        return None
    logits = logits.reshape(cells.height, cells.width)
    bits = logits > 0
    score = _told(fit[0].ravel(), scale) if fit else _certainty(logits[bits], scale)
    return Found(bits, score) if isfinite(score) else None


def _told(numbers: Tensor, scale: float) -> float:
    """The network's own estimate; not a number where it is cut short."""
    if numbers.size == _FIT:
        return float(_sigmoid(np.float32(numbers[0] * scale)))
    return min(max(float(numbers[0]) * scale, 0.0), 1.0) if numbers.size == _SCORE else nan


def _certainty(inside: Tensor, scale: float) -> float:
    """Mean of the sigmoid over the mask's cells, 0 when empty."""
    if not inside.size:
        return 0.0
    return float(_sigmoid(inside.astype(np.float32) * np.float32(scale)).mean())


def _sigmoid(logit: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(logit, -80, 80)))
