"""From masks to figures: IoU, boundary F, and their means over what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, hypot

import cv2
import numpy as np

from glasses_sdk.types import Bits

__all__ = ["Bin", "Calibration", "Marks", "Part", "Row", "Score", "boundary_f", "iou"]

_THRESHOLDS = np.arange(50, 100, 5) / 100  # .50 .55 … .95
_TOLERANCE = 0.008  # of the diagonal
_BINS = 10
_SMALL, _LARGE = 32**2, 96**2  # pixels, as COCO has it


def iou(one: Bits, other: Bits) -> float:
    """Cells in both over cells in either; 1 where there are none."""
    either = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / either if either else 1.0


def boundary_f(one: Bits, truth: Bits) -> float:
    """How well the outlines agree, 0 to 1: DAVIS's F (Perazzi 2016), tolerance 0.008 diagonals.

    The picture's own border is no outline. Where only one of the two has an outline F is 0, where
    neither has, 1.
    """
    found, wanted = _outline(one), _outline(truth)
    if not (found.any() and wanted.any()):
        return float(found.any() == wanted.any())
    near = _disc(ceil(_TOLERANCE * hypot(*truth.shape)))
    precision = float((cv2.dilate(wanted, near)[found > 0] > 0).mean())
    recall = float((cv2.dilate(found, near)[wanted > 0] > 0).mean())
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0


def _outline(bits: Bits) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The mask's cells with a neighbour, above, below or beside, that is not of it."""
    solid = bits.astype(np.uint8)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    return cv2.subtract(solid, cv2.erode(solid, cross))  # pyright: ignore[reportReturnType]


def _disc(radius: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (u**2 + v**2 <= radius**2).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Row:
    """One object, judged once.

    score        what the network thinks of its mask
    area         of the object, in picture pixels
    competitors  other objects with the middle of their box in the region
    there        whether the object has a cell in the region
    """

    iou: float
    boundary_f: float
    score: float
    ms: float
    area: int
    competitors: int
    there: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Marks:
    """The result on `n` objects of one source, fractions of 1.

    miou        mean IoU; where neither mask has a cell it counts 1
    map         the share of objects with IoU >= t, averaged over t = .50 .55 … .95; objects without
                a cell in the region are left out; 0 where none is left
    boundary_f  mean F of the outlines
    ms          median time an object took, without the crop
    """

    miou: float
    map: float
    boundary_f: float
    ms: float
    n: int

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Marks:
        there = np.array([row.iou for row in rows if row.there])
        return cls(
            miou=float(np.mean([row.iou for row in rows])),
            map=float((there[:, None] >= _THRESHOLDS).mean()) if there.size else 0.0,
            boundary_f=float(np.mean([row.boundary_f for row in rows])),
            ms=float(np.median([row.ms for row in rows])),
            n=sum(row.seed == rows[0].seed for row in rows),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """The objects of one kind: their mean IoU, None where there is none."""

    miou: float | None
    n: int

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Part:
        ious = [row.iou for row in rows]
        return cls(float(np.mean(ious)) if ious else None, len(ious))


@dataclass(frozen=True, slots=True)
class Bin:
    """The masks with a score of `low` up to `high`: its mean, and that of the IoU they had."""

    low: float
    high: float
    n: int
    score: float | None
    iou: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether the score says what the IoU is.

    correlation is Pearson's, None where either never changes.
    """

    correlation: float | None
    bins: list[Bin]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Calibration:
        scores, ious = np.array([(row.score, row.iou) for row in rows]).T
        varied = scores.std() > 0 and ious.std() > 0
        place = np.minimum((scores * _BINS).astype(int), _BINS - 1)
        return cls(
            correlation=float(np.corrcoef(scores, ious)[0, 1]) if varied else None,
            bins=[_bin(n, scores[place == n], ious[place == n]) for n in range(_BINS)],
        )


def _bin(
    number: int,
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    ious: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> Bin:
    low, high = number / _BINS, (number + 1) / _BINS
    if not scores.size:
        return Bin(low, high, 0, None, None)
    return Bin(low, high, scores.size, float(scores.mean()), float(ious.mean()))


@dataclass(frozen=True, slots=True)
class Score:
    """A network on the objects of one source.

    sizes        `small` up to 32 x 32 pixels, `medium` up to 96 x 96, `large`
    competitors  `0`, `1-2`, `3+` other objects in the region
    score        whether the network knows how good its mask is
    seeds        mIoU of each seed, where the box is imprecise
    baselines    what needs no network, by name
    """

    marks: Marks
    sizes: dict[str, Part]
    competitors: dict[str, Part]
    score: Calibration
    seeds: list[float]
    baselines: dict[str, Marks]

    @classmethod
    def of(cls, rows: Sequence[Row], baselines: dict[str, list[Row]]) -> Score:
        seeds = sorted({row.seed for row in rows})
        by_seed = [float(np.mean([row.iou for row in rows if row.seed == seed])) for seed in seeds]
        return cls(
            marks=Marks.of(rows),
            sizes=_parts(rows, _SIZES),
            competitors=_parts(rows, _COMPETITORS),
            score=Calibration.of(rows),
            seeds=by_seed,
            baselines={name: Marks.of(each) for name, each in baselines.items()},
        )


_SIZES: dict[str, Callable[[Row], bool]] = {
    "small": lambda row: row.area < _SMALL,
    "medium": lambda row: _SMALL <= row.area < _LARGE,
    "large": lambda row: row.area >= _LARGE,
}
_COMPETITORS: dict[str, Callable[[Row], bool]] = {
    "0": lambda row: row.competitors == 0,
    "1-2": lambda row: 1 <= row.competitors <= 2,
    "3+": lambda row: row.competitors >= 3,
}


def _parts(rows: Sequence[Row], kinds: dict[str, Callable[[Row], bool]]) -> dict[str, Part]:
    return {name: Part.of(filter(kind, rows)) for name, kind in kinds.items()}
