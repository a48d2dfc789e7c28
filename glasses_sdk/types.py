"""The records that flow through the program: frozen, and an invalid one cannot be built."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Bits", "Gaze", "HeadPose", "Mask", "Matrix", "Roi", "RoiState", "Size"]

Matrix = npt.NDArray[np.float64]
"""Of floats; as a map of points (x, y, 1), 3 x 3 in the pixel-centre convention."""

Bits = npt.NDArray[np.bool_]
"""A mask's cells, [height, width], True = object."""

RoiState = Literal["stable", "settling", "held"]


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels or cells."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0):
            raise ValueError(f"a size needs positive sides, not {self.width} x {self.height}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Roi:
    """A rectangle in full-sensor pixels, origin top-left, half-open."""

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not (-inf < self.left < inf and -inf < self.top < inf):
            raise ValueError(f"a region needs finite numbers, not {self}")
        if not (0 < self.width < inf and 0 < self.height < inf):
            raise ValueError(
                f"a region needs a finite, positive size, not {self.width} x {self.height}"
            )

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Roi:
        """The region of this size whose middle is (x, y)."""
        return cls(x - width / 2, y - height / 2, width, height)


@dataclass(frozen=True, slots=True)
class Gaze:
    """One sample of where the wearer looks.

    x and y are in the provider's own plane until a `GazeMap` brings them to full-sensor pixels.
    `confidence` is 0 to 1; a blink or a lost pupil is a sample of confidence 0, and only then
    may x and y be NaN.
    """

    time_ns: int
    x: float
    y: float
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"a confidence lies in 0 to 1, not {self.confidence}")
        if self.confidence > 0 and not (isfinite(self.x) and isfinite(self.y)):
            raise ValueError(f"a gaze point needs finite numbers, not ({self.x}, {self.y})")


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Orientation of the head: quaternion (x, y, z, w) head to world, x right, y down, z forward.

    `angular_rate` is in rad/s about the head's own axes, None where it is not measured.
    """

    time_ns: int
    orientation: tuple[float, float, float, float]
    angular_rate: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        norm = sum(part * part for part in self.orientation)
        if not 0.98 < norm < 1.02:
            raise ValueError(f"an orientation is a unit quaternion, not {self.orientation}")


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A binary picture over a region of the sensor: what the network saw there.

    bits      [height, width] bool, True = object; 1 to 256 cells a side
    roi       the region that these cells truly cover, whole pixels, inside the sensor
    sensor    size of the full sensor
    time_ns   middle of the exposure where the camera says it, otherwise arrival
    seq       frame number; a gap is a lost frame
    score     the network's estimate of the mask's own IoU, 0 to 1
    track     0 = nothing tracked; a new number for a new object
    roi_state `stable`, `settling` (a newer region is not in effect yet), `held` (no gaze)
    """

    bits: Bits
    roi: Roi
    sensor: Size
    time_ns: int
    seq: int
    score: float
    track: int = 0
    roi_state: RoiState = "stable"

    def __post_init__(self) -> None:
        bits, roi, sensor = self.bits, self.roi, self.sensor
        if bits.dtype.kind != "b" or bits.ndim != 2:
            raise ValueError(f"a mask is [height, width] bool, not {bits.shape} {bits.dtype}")
        height, width = bits.shape
        if not (1 <= height <= 256 and 1 <= width <= 256):
            raise ValueError(f"a mask has 1 to 256 cells a side, not {bits.shape}")
        if not 0 <= self.score <= 1:
            raise ValueError(f"a score lies in 0 to 1, not {self.score}")
        if not (
            0 <= roi.left
            and 0 <= roi.top
            and roi.left + roi.width <= sensor.width
            and roi.top + roi.height <= sensor.height
        ):
            raise ValueError(f"{roi} is not inside the sensor of {sensor}")

    @property
    def area(self) -> int:
        """Cells set."""
        return int(np.count_nonzero(self.bits))

    @property
    def size(self) -> Size:
        """Cells across and down."""
        height, width = self.bits.shape
        return Size(width, height)

    def to_sensor(self) -> Matrix:
        """The 3 x 3 matrix from cells to full-sensor pixels, both in the pixel-centre convention.

        Cell (u, v)'s centre lies at `left + (u + 0.5) * roi.width / width - 0.5`.
        """
        x = self.roi.width / self.size.width
        y = self.roi.height / self.size.height
        return np.array(
            [
                [x, 0.0, self.roi.left + 0.5 * x - 0.5],
                [0.0, y, self.roi.top + 0.5 * y - 0.5],
                [0.0, 0.0, 1.0],
            ]
        )

    def full(self, size: Size | None = None) -> Bits:
        """The mask drawn at the size of the sensor, or of a display that shows the whole sensor.

        Returns [size.height, size.width] bool: each pixel takes the cell that its centre falls
        into. The work is in proportion to the region's pixels.
        """
        size = size or self.sensor
        roi, cells = self.roi, self.size
        columns, left = _cells_under(
            roi.left, roi.width, cells.width, self.sensor.width, size.width
        )
        rows, top = _cells_under(roi.top, roi.height, cells.height, self.sensor.height, size.height)
        picture = np.zeros((size.height, size.width), np.bool_)
        inside = self.bits[np.ix_(rows, columns)]
        picture[top : top + rows.size, left : left + columns.size] = inside
        return picture


def _cells_under(
    start: float, length: float, cells: int, sensor: int, pixels: int
) -> tuple[npt.NDArray[np.intp], int]:
    """The cell under the centre of each pixel that the region covers, and the first such pixel."""
    scale = sensor / pixels  # sensor pixels a picture pixel
    first = max(ceil(start / scale - 0.5), 0)
    last = min(ceil((start + length) / scale - 0.5), pixels)
    centres = (np.arange(first, max(last, first)) + 0.5) * scale
    inside = ((centres - start) * cells / length).astype(np.intp)
    return np.clip(inside, 0, cells - 1), first
