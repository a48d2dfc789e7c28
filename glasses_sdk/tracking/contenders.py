"""Who follows the object: the runtime's tracker, and what it is measured against.

Each gives one full-frame mask a frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glasses_sdk.evaluation.baselines import drawn
from glasses_sdk.evaluation.servo import look_at
from glasses_sdk.gaze.attention import Attention
from glasses_sdk.gaze.events import EventConfig
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.geometry import padded, square
from glasses_sdk.network import Network
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.tracking.videos import Clip, Video
from glasses_sdk.types import Bits, Gaze, Mask, Roi, Size

__all__ = ["CEILINGS", "SIDES", "constant", "ellipses", "follow", "told"]

SIDES = (0.35, 0.6, 0.9)  # of constant squares, shares of the frame's height
CEILINGS = tuple(
    (padding, squared) for padding in (0.0, 0.1, 0.2, 0.4) for squared in (False, True)
)


def follow(network: Network, video: Video, clip: Clip, looks: list[Gaze]) -> list[Mask]:
    """What the tracker hands on, driven as the loop does it.

    Each frame knows the looks up to its exposure and the mask of the frame before; the region asked
    for takes effect at once.
    """
    tracker = RoiTracker(video.size)
    attention = Attention(GazeMap.scale(video.size), video.size, _VIEW_DEG)
    waiting = [_on_plane(look, video.size) for look in reversed(looks)]
    masks: list[Mask] = []
    for seq, time_ns in enumerate(video.times_ns()):
        while waiting and waiting[-1].time_ns <= time_ns:
            look = waiting.pop()
            attention.follow(tracker, look, look.time_ns)
        roi = tracker.predict(time_ns)
        masks.append(tracker.see(look_at(network, clip.pictures[seq], roi, seq, time_ns)))
    return masks


def told(network: Network, clip: Clip, padding: float, squared: bool) -> list[Bits]:
    """What the same network makes of each frame's true box, so padded; nothing where there is none.

    Its best is the ceiling: what a tracker that knows the box would have.
    """

    def region(box: Roi | None) -> Roi | None:
        around = padded(box, padding) if box else None
        return square(around) if around and squared else around

    pairs = zip(clip.pictures, clip.boxes, strict=True)
    return [look_at(network, picture, region(box)).full() for picture, box in pairs]


def constant(
    network: Network, video: Video, clip: Clip, looks: list[Gaze], share: float
) -> list[Bits]:
    """What the network makes of a square of constant size around the newest look that counts.

    share  of the frame's height
    """
    least, side = EventConfig().min_confidence, share * video.size.height
    counting = [look for look in looks if look.confidence >= least]
    times = [look.time_ns for look in counting]
    found: list[Bits] = []
    for picture, time_ns in zip(clip.pictures, video.times_ns(), strict=True):
        known = int(np.searchsorted(times, time_ns, "right"))
        look = counting[known - 1] if known else None
        roi = Roi.around(look.x, look.y, side, side) if look else None
        found.append(look_at(network, picture, roi).full())
    return found


_VIEW_DEG = 66.0, 40.0  # of the videos' cameras, which nobody knows


def _on_plane(look: Gaze, size: Size) -> Gaze:
    """From frame pixels to 0 to 1 of the frame."""
    return replace(look, x=(look.x + 0.5) / size.width, y=(look.y + 0.5) / size.height)


def ellipses(boxes: list[Roi | None], size: Size) -> list[Bits]:
    """Boxes of another tracker, each filled as the ellipse that touches it."""
    whole, nothing = Roi(0, 0, size.width, size.height), np.zeros((size.height, size.width), bool)
    return [drawn(box, whole, size, ellipse=True) if box else nothing for box in boxes]
