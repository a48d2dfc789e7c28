"""How well masks follow the eyes, measured in a made world whose truth is known.

Masks come from a sensor and its network; the truth only scores them. Every frame in which the eyes
are on an object counts, a frame without a mask as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from glasses_sdk.crop import crop
from glasses_sdk.geometry import padded, visible
from glasses_sdk.network import Network
from glasses_sdk.sensors.cutouts import Picture
from glasses_sdk.sensors.synthetic import Landing, Truth, World
from glasses_sdk.types import Bits, Mask, Size

__all__ = ["Report", "score"]

SETTLED = 0.5  # IoU from which the mask is on the object
PADDING = 0.1  # of the box's width and height, on each side: as the networks are trained


@dataclass(frozen=True, slots=True)
class Report:
    """What `score` found; a mean over nothing is 0.

    iou                in full-frame pixels, mean over the frames with an object looked at
    ceiling            the same, had the network been given the visible object's own padded box
    iou_by_size        of the smallest, the middle and the largest third of these frames, by the
    ceiling_by_size    visible object's area
    share_above_half   of these frames: IoU at least 0.5
    settled_in_three   of the landings: IoU at least 0.5 in one of the first three frames
    settle_frames_p50  median of the frames from a landing until then, 1 for the first; None when
                       more than half of the landings never settle
    landings           on objects, of at least three frames
    frames             in which an object is looked at
    """

    iou: float
    ceiling: float
    iou_by_size: tuple[float, float, float]
    ceiling_by_size: tuple[float, float, float]
    share_above_half: float
    settled_in_three: float
    settle_frames_p50: float | None
    landings: int
    frames: int


def score(world: World, masks: Iterable[Mask], frames: int, network: Network) -> Report:
    """Scores masks over the first `frames` frames; `seq` of a mask is the frame that it shows."""
    at_frame = {mask.seq: mask for mask in masks if 0 <= mask.seq < frames}
    truths = {i: truth for i in range(frames) if (truth := world.truth(i))}
    ious = {i: _iou_of(at_frame.get(i), truth.mask) for i, truth in truths.items()}
    ceilings = {i: _ceiling(network, world.render(i), truth) for i, truth in truths.items()}
    areas = {i: int(np.count_nonzero(truth.mask)) for i, truth in truths.items()}
    settled = [_settle_frames(one, ious) for one in world.landings(frames) if _long(one, frames)]
    return Report(
        iou=_mean(list(ious.values())),
        ceiling=_mean(list(ceilings.values())),
        iou_by_size=_by_thirds(ious, areas),
        ceiling_by_size=_by_thirds(ceilings, areas),
        share_above_half=_mean([iou >= SETTLED for iou in ious.values()]),
        settled_in_three=_mean([count <= 3 for count in settled]),
        settle_frames_p50=_median(settled),
        landings=len(settled),
        frames=len(truths),
    )


def _iou_of(mask: Mask | None, truth: Bits) -> float:
    return _iou(mask.full(), truth) if mask else 0.0


def _iou(mask: Bits, truth: Bits) -> float:
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def _ceiling(network: Network, picture: Picture, truth: Truth) -> float:
    """IoU of what the network makes of the region that a perfect tracker would aim at."""
    sensor = Size(picture.shape[1], picture.shape[0])
    roi = visible(padded(truth.box, PADDING), sensor)
    if roi is None:
        return 0.0
    seen = network.segment(crop(picture, roi, network.input))
    return _iou(Mask(seen.bits, roi, sensor, 0, 0, seen.score).full(), truth.mask)


def _long(landing: Landing, frames: int) -> bool:
    return min(landing.stop, frames) - landing.frame >= 3


def _settle_frames(landing: Landing, ious: Mapping[int, float]) -> float:
    """Frames from the landing until the mask is on the object, 1 for the first; infinite: never."""
    dwell = range(landing.frame, landing.stop)
    settled = (k for k, i in enumerate(dwell, start=1) if ious.get(i, 0.0) >= SETTLED)
    return next(settled, inf)


def _by_thirds(values: Mapping[int, float], areas: Mapping[int, int]) -> tuple[float, float, float]:
    order = sorted(values, key=lambda i: areas[i])
    small, middle, large = np.array_split(np.array([values[i] for i in order]), 3)
    return _mean(small), _mean(middle), _mean(large)


def _mean(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _median(counts: Sequence[float]) -> float | None:
    middle = float(np.median(counts)) if counts else inf
    return middle if isfinite(middle) else None
