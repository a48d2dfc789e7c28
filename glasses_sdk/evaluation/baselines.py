"""What needs no network: shapes drawn into what is known, and GrabCut.

A network below its own box's ellipse has little to offer to whoever knows the box.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from glasses_sdk.evaluation.judging import Predict, View
from glasses_sdk.evaluation.settings import Settings
from glasses_sdk.network import Segmentation
from glasses_sdk.types import Bits, Roi, Size

__all__ = ["ELLIPSE", "baselines", "drawn", "grabcut"]

ELLIPSE = "box_ellipse"
_ROUNDS = 5
_CLICKED = (25, 50, 75, 100, 140)  # percent of the region's sides


def baselines(settings: Settings) -> dict[str, Predict]:
    """By name, for a protocol.

    box, tight:
        region, region_ellipse  the region without its padding, filled: what the network is told
        box, box_ellipse        the object's own box, which a square region does not tell
        grabcut                 OpenCV's GrabCut, from that box, on the network's own input
    point:
        ellipse_25 to _140      an ellipse around the click, as wide and high as so many percent of
                                the region
    """
    if settings.has_boxes:
        return _around_the_box(settings.padding)
    return {f"ellipse_{n}": partial(_around_the_click, share=n / 100) for n in _CLICKED}


def _around_the_box(padding: float) -> dict[str, Predict]:
    return {
        "region": lambda view: _sure(drawn(_inner(view, padding), view.seen, _cells(view))),
        "region_ellipse": lambda view: _sure(
            drawn(_inner(view, padding), view.seen, _cells(view), ellipse=True)
        ),
        "box": lambda view: _sure(drawn(_box(view), view.seen, _cells(view))),
        ELLIPSE: lambda view: _sure(drawn(_box(view), view.seen, _cells(view), ellipse=True)),
        "grabcut": lambda view: _sure(grabcut(view)),
    }


def drawn(shape: Roi, seen: Roi, cells: Size, *, ellipse: bool = False) -> Bits:
    """The cells of `seen` whose middle lies in the rectangle, or in the ellipse that touches it."""
    x0, y0 = shape.centre
    u = (np.arange(cells.width) + 0.5) * seen.width / cells.width + seen.left
    v = (np.arange(cells.height) + 0.5) * seen.height / cells.height + seen.top
    x = np.abs(u - x0)[None, :] / (shape.width / 2)
    y = np.abs(v - y0)[:, None] / (shape.height / 2)
    return x**2 + y**2 <= 1 if ellipse else np.maximum(x, y) <= 1


def grabcut(view: View) -> Bits:
    """GrabCut that is told the object's own box; the box itself where it fills the region."""
    inside = drawn(_box(view), view.seen, _cells(view))
    if inside.all() or not inside.any():
        return inside
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # its colour clusters start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(view.rgb[..., ::-1])
    cv2.grabCut(bgr, labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _around_the_click(view: View, share: float) -> Segmentation:
    assert view.click
    column, row = view.click
    width, height = share * view.asked.width, share * view.asked.height
    shape = Roi.around(column + 0.5, row + 0.5, width, height)
    return _sure(drawn(shape, view.seen, _cells(view), ellipse=True))


def _inner(view: View, padding: float) -> Roi:
    share = 1 + 2 * padding
    return Roi.around(*view.asked.centre, view.asked.width / share, view.asked.height / share)


def _box(view: View) -> Roi:
    return view.scene.instance.box


def _cells(view: View) -> Size:
    height, width = view.target.shape
    return Size(width, height)


def _sure(bits: Bits) -> Segmentation:
    return Segmentation(bits, 1.0)
