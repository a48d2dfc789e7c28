"""Which of the first masks after a look shows the whole object?

A network cannot say how large the thing is that somebody means. What its masks look like tells a
part of it: one that runs into the region's edges is a piece of something larger, one that fills
next to nothing is a speck.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.types import Bits, Roi

__all__ = ["component", "expected_iou", "landing_features"]


def landing_features(bits: Bits, score: float, side: float) -> npt.NDArray[np.float64]:
    """What a first mask looks like, for `expected_iou`.

    side  of the region, as a share of the sensor's shorter side
    """
    fill = float(bits.mean())
    edges = float(bits[0].mean() + bits[-1].mean() + bits[:, 0].mean() + bits[:, -1].mean()) / 4
    size = math.log(side)
    return np.array([1.0, score, score**2, fill, fill**2, edges, min(edges, 0.1), size, size**2])


# Least squares over first masks on training pictures: `python -m tests.fit_landings` prints them.
_LANDING = np.array([0.109, -0.351, 1.015, -0.095, 0.149, -0.14, 0.182, 0.018, -0.053])


def expected_iou(bits: Bits, score: float, side: float) -> float:
    """The IoU with the whole object that such a first mask had on training pictures."""
    return float(landing_features(bits, score, side) @ _LANDING)


def component(bits: Bits, roi: Roi, centre: tuple[float, float]) -> Bits:
    """The connected part of the mask that lies at `centre`, or the largest where none does."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bits.astype(np.uint8))
    if count <= 2:
        return bits
    rows, columns = bits.shape
    column = int(np.clip((centre[0] - roi.left) / roi.width * columns, 0, columns - 1))
    row = int(np.clip((centre[1] - roi.top) / roi.height * rows, 0, rows - 1))
    there = int(labels[row, column])
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    areas = stats[:, cv2.CC_STAT_AREA]
    chosen = there if there and areas[there] > 0.3 * areas[largest] else largest
    return labels == chosen
