"""What everybody looks at: one made picture, one ready-made mask, and a frame's worth of looks.

Loads no network library, so that the conductor stays as light as can be.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.types import Mask, Roi, Size

if TYPE_CHECKING:
    from glasses_sdk.tracker import RoiTracker

__all__ = ["FRAME", "TICK", "frame_of_looks", "picture", "ready_logits", "ready_mask"]

FRAME = Size(640, 480)
TICK = struct.Struct("<qq")
"""What a frame is in the named pipe: its number, and when it was there (monotonic ns)."""

_CELLS = 96
_GAZE_HZ = 200
_SECOND_NS = 1_000_000_000


def picture() -> npt.NDArray[np.uint8]:
    """[480, 640, 3] uint8 BGR: an object, a bright ball before an uneven ground."""
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.uniform(30, 110, (12, 16, 3)), (FRAME.width, FRAME.height))
    frame = np.asarray(ground, np.uint8)
    cv2.circle(frame, (320, 240), 70, (60, 160, 240), -1, cv2.LINE_AA)
    cv2.circle(frame, (300, 215), 18, (180, 220, 250), -1, cv2.LINE_AA)
    return frame


def ready_logits() -> npt.NDArray[np.float32]:
    """[96, 96] float32: a disc, as a sensor with a network inside would give it."""
    v, u = np.mgrid[:_CELLS, :_CELLS] - (_CELLS - 1) / 2
    return (30.0 - np.hypot(u, v)).astype(np.float32)


_LOGITS = ready_logits()
_SHOWN = Roi(200, 120, 240, 240)


def ready_mask(seq: int, time_ns: int) -> Mask:
    """The disc in the middle of the picture, cut from its logits anew."""
    return Mask(_LOGITS > 0, _SHOWN, FRAME, time_ns, seq, score=0.9)


def frame_of_looks(tracker: RoiTracker, mask: Mask) -> Mask:
    """What the tracker does for one frame: the looks since the last one, the mask, the next region.

    The looks are those of 200 Hz eyes in a thirtieth of a second.
    """
    for number in range(round(_GAZE_HZ / 30), 0, -1):
        time_ns = mask.time_ns - number * _SECOND_NS // _GAZE_HZ
        tracker.look((320.0, 240.0), time_ns)
    seen = tracker.see(mask)
    tracker.predict(mask.time_ns + _SECOND_NS // 30)
    return seen
