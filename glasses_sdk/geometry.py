"""Where things are: regions, frames and the boxes of masks.

Matrices map (x, y, 1) in the pixel-centre convention: the centre of the first pixel is (0, 0) and
its area reaches from -0.5 to 0.5. Regions are half-open rectangles of pixel edges. The matrix from
a mask's cells to the sensor is `Mask.to_sensor`.
"""

from __future__ import annotations

from glasses_sdk.types import Bits, Matrix, Roi, Size

__all__ = [
    "alike",
    "apply",
    "at_least",
    "holding",
    "mask_box",
    "off_middle",
    "overlap",
    "padded",
    "square",
    "visible",
]


def visible(roi: Roi, frame: Size) -> Roi | None:
    """The whole pixels of `frame` that `roi` covers: None where it lies outside.

    Edges are rounded to the nearest pixel edge; what is left is at least one pixel wide and high,
    as long as the region and the frame share any area at all.
    """
    left, right = _whole(roi.left, roi.right, frame.width)
    top, bottom = _whole(roi.top, roi.bottom, frame.height)
    if left >= right or top >= bottom:
        return None
    return Roi(left, top, right - left, bottom - top)


def at_least(roi: Roi, least: float, frame: Size) -> Roi:
    """This region of the frame, each side grown to `least` pixels or the frame's, within it."""
    width = max(roi.width, min(least, frame.width))
    height = max(roi.height, min(least, frame.height))
    x, y = roi.centre
    left = min(max(x - width / 2, 0), frame.width - width)
    top = min(max(y - height / 2, 0), frame.height - height)
    return Roi(left, top, width, height)


def _whole(low: float, high: float, length: int) -> tuple[int, int]:
    if high <= 0 or low >= length:
        return 0, 0
    first = min(max(round(low), 0), length - 1)
    last = max(min(round(high), length), first + 1)
    return first, last


def padded(roi: Roi, share: float) -> Roi:
    """Grown by `share` of its width and height on each side."""
    return Roi.around(*roi.centre, roi.width * (1 + 2 * share), roi.height * (1 + 2 * share))


def square(roi: Roi) -> Roi:
    """The square about the same middle whose side is the longer side."""
    side = max(roi.width, roi.height)
    return Roi.around(*roi.centre, side, side)


def apply(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """The point (x, y) under a 3 x 3 matrix."""
    px, py, w = matrix @ (x, y, 1.0)
    return float(px / w), float(py / w)


def mask_box(bits: Bits, roi: Roi) -> Roi | None:
    """The box of the cells that are set, in full-sensor pixels; None for an empty mask."""
    height, width = bits.shape
    by_rows, by_columns = bits.tobytes(), bits.tobytes("F")  # searched faster than reduced
    first = by_rows.find(1)
    if first < 0:
        return None
    left, right = by_columns.find(1) // height, by_columns.rfind(1) // height
    top, bottom = first // width, by_rows.rfind(1) // width
    x, y = roi.width / width, roi.height / height
    return Roi(
        roi.left + left * x,
        roi.top + top * y,
        (right - left + 1) * x,
        (bottom - top + 1) * y,
    )


def holding(box: Roi, x: float, y: float, margin: float) -> Roi:
    """The box, extended to hold (x, y) with a margin."""
    left, top = min(box.left, x - margin), min(box.top, y - margin)
    right, bottom = max(box.right, x + margin), max(box.bottom, y + margin)
    return Roi(left, top, right - left, bottom - top)


def overlap(one: Roi, other: Roi) -> float:
    """Intersection over the smaller of the two areas, 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(one.width * one.height, other.width * other.height)


def alike(one: Roi, other: Roi) -> float:
    """Intersection over union of the two areas, 0 to 1."""
    smaller = min(one.width * one.height, other.width * other.height)
    shared = overlap(one, other) * smaller
    return shared / (one.width * one.height + other.width * other.height - shared)


def off_middle(box: Roi, point: tuple[float, float], least: float = 0.0) -> float:
    """How far a point lies from the box's middle, as a share of its sides: 0.5 is an edge.

    Sides shorter than `least` count as that long.
    """
    (cx, cy), (x, y) = box.centre, point
    return max(abs(x - cx) / max(box.width, least), abs(y - cy) / max(box.height, least))
