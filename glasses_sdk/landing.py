"""Which of the first masks after a look shows the whole object?

A network cannot say how large the thing is that somebody means. What its masks look like tells a
part of it: one that runs into the region's edges is a piece of something larger, one that fills
next to nothing is a speck. What they say of one another tells more: a thing that two regions of
different size show alike is there, and one that a larger mask holds is often a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["Trial", "component_at", "component_nearest", "expected_ious", "trial_features"]

_Table = npt.NDArray[np.float64]
_MAIN = 0.3  # of the largest part's cells: a part as large may be what is followed
_SPECK = 0.02  # of the largest part's cells: one that is smaller is none
_RASTER = 128  # pixels of the sensor's shorter side, where masks are laid over one another


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a region of one size showed around the point looked at.

    mask  the cells of the object's component
    side  of the region, as a share of the sensor's shorter side
    box   of the object, extended where the mask runs into the region's edge, in sensor pixels
    """

    mask: Mask
    side: float
    box: Roi


def expected_ious(trials: Sequence[Trial]) -> _Table:
    """The IoU with the whole object that such first masks had on training pictures, one a trial."""
    return trial_features(trials) @ _WEIGHTS


def trial_features(trials: Sequence[Trial]) -> _Table:
    """[n, 16]: what each mask looks like, and what it has in common with the others."""
    drawn = np.stack([_drawn(trial.mask).ravel() for trial in trials]).astype(float)
    shared = drawn @ drawn.T
    areas = np.maximum(shared.diagonal(), 1.0)
    iou = shared / np.maximum(areas[:, None] + areas - shared, 1.0)
    inside = shared / areas[:, None]  # of the first in the second
    sides = np.array([trial.side for trial in trials])
    larger, smaller = sides[:, None] < sides, sides[:, None] > sides
    alike = np.where(larger | smaller, iou, 0.0)
    relations = [
        _mean(iou, larger | smaller, 0.0),
        alike.max(1),
        _mean(inside, larger, 0.5),
        _mean(inside.T, smaller, 0.5),
        _mean(iou, larger, 0.3),
        _mean(iou, smaller, 0.3),
    ]
    return np.column_stack([[_looks(trial) for trial in trials], *relations])


def _looks(trial: Trial) -> list[float]:
    bits, roi, sensor = trial.mask.bits, trial.mask.roi, trial.mask.sensor
    edges = np.array([bits[:, 0].mean(), bits[:, -1].mean(), bits[0].mean(), bits[-1].mean()])
    inner = (
        roi.left > 0,
        roi.right < sensor.width,
        roi.top > 0,
        roi.bottom < sensor.height,
    )
    fill, edge, size = float(bits.mean()), float(edges.mean()), log(trial.side)
    score = trial.mask.score
    cut = float((np.minimum(edges, 0.3) * inner).mean())
    return [1.0, score, score**2, fill, fill**2, edge, min(edge, 0.1), size, size**2, cut]


def _drawn(mask: Mask) -> Bits:
    scale = _RASTER / min(mask.sensor.width, mask.sensor.height)
    return mask.full(Size(round(mask.sensor.width * scale), round(mask.sensor.height * scale)))


def _mean(values: _Table, chosen: npt.NDArray[np.bool_], default: float) -> _Table:
    """Of the chosen values of each row."""
    counts = chosen.sum(1)
    sums = np.where(chosen, values, 0.0).sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), default)


# Least squares over first masks on training pictures: `python -m tests.fit_landings` prints them.
_WEIGHTS = np.array(
    [
        -0.199,
        0.157,
        0.519,
        -0.066,
        0.056,
        -0.126,
        -0.072,
        0.039,
        0.056,
        -0.051,
        0.131,
        0.131,
        -0.119,
        0.175,
        0.052,
        0.02,
    ]
)


def component_at(bits: Bits, roi: Roi, centre: tuple[float, float]) -> Bits:
    """The connected part of the mask that lies at `centre`, or the largest where none does.

    So what is followed stays what it is where its middle is a hole.
    """
    count, labels, parts, _ = cv2.connectedComponentsWithStats(bits.view(np.uint8))
    if count <= 2:
        return bits
    areas = parts[1:, cv2.CC_STAT_AREA]
    rows, columns = bits.shape
    column = int(np.clip((centre[0] - roi.left) / roi.width * columns, 0, columns - 1))
    row = int(np.clip((centre[1] - roi.top) / roi.height * rows, 0, rows - 1))
    there = int(labels[row, column])
    is_main = there and areas[there - 1] > _MAIN * areas.max()
    return labels == (there if is_main else 1 + int(np.argmax(areas)))


def component_nearest(bits: Bits, roi: Roi, look: tuple[float, float]) -> Bits:
    """The connected part of the mask nearest to a look; specks do not count.

    A look at something slender lies beside it more often than on it, and what else the mask shows
    there is larger.
    """
    count, labels, parts, _ = cv2.connectedComponentsWithStats(bits.view(np.uint8))
    if count <= 2:
        return bits
    areas = parts[:, cv2.CC_STAT_AREA]
    large = np.flatnonzero(areas[1:] >= _SPECK * areas[1:].max()) + 1
    rows, columns = np.nonzero(np.isin(labels, large))
    across = roi.left + (columns + 0.5) * (roi.width / bits.shape[1]) - look[0]
    down = roi.top + (rows + 0.5) * (roi.height / bits.shape[0]) - look[1]
    nearest = int(np.argmin(across**2 + down**2))
    return labels == labels[rows[nearest], columns[nearest]]
