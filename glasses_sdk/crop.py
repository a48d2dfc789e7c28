"""The one crop: runtime, training and evaluation look at regions through it, so they cannot differ.

It does what the IMX500 and the published protocol do: the region is intersected with the frame,
and what is left is stretched to the network's input. No padding.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.geometry import visible
from glasses_sdk.types import Roi, Size

__all__ = ["crop"]

Picture = npt.NDArray[np.uint8]


def crop(frame: Picture, roi: Roi, size: Size, *, nearest: bool = False) -> Picture:
    """What `frame` shows in `roi`, stretched to `size`.

    frame    [H, W] or [H, W, C] uint8, the whole sensor
    nearest  for masks; pictures are sampled bilinearly
    returns  [size.height, size.width(, C)] uint8

    The cost does not depend on the frame's size: the region is a view, only `size` pixels are
    computed. Raises ValueError for a region outside the frame.
    """
    height, width = frame.shape[:2]
    seen = visible(roi, Size(width, height))
    if seen is None:
        raise ValueError(f"{roi} lies outside the frame of {width}x{height}")
    left, top = int(seen.left), int(seen.top)
    view = frame[top : top + int(seen.height), left : left + int(seen.width)]
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.resize(view, (size.width, size.height), interpolation=how)  # pyright: ignore[reportReturnType]
