"""Protocol `servo`: what somebody has on the wire after looking at an object for a few frames.

The runtime's own tracker is given the click and nothing else, again at each frame of a still
picture at 30 Hz: somebody keeps looking there. Each frame costs one run of the network. The mask
judged after k runs is the one that the tracker hands on at the k-th, drawn into the whole picture
and compared with the whole object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glasses_sdk.crop import Picture, crop
from glasses_sdk.evaluation.regions import region
from glasses_sdk.evaluation.scenes import Scene
from glasses_sdk.evaluation.scores import iou
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Mask, Roi, Size

__all__ = ["LEAST", "PASSES", "ServoRow", "ServoScore", "follow", "follow_all", "look_at"]

LEAST = 1024  # pixels: smaller objects are not measured
PASSES = (1, 2, 3, 5)
SCALES = (0.1, 0.2, 0.35, 0.6, 0.95)  # sides of squares, of the picture's shorter side
_FRAME_NS = 1_000_000_000 // 30


@dataclass(frozen=True, slots=True)
class ServoRow:
    """One object: IoU after so many runs, and what there was to gain. See `ServoScore`."""

    passes: dict[int, float]
    oracle: float
    oracle_square: float
    best_scale: float


@dataclass(frozen=True, slots=True)
class ServoScore:
    """Mean IoU in the whole picture, on `n` objects of one source.

    passes         after 1, 2, 3 and 5 runs of the network, the click alone being known
    oracle         one run, the true box being known: the padded box (protocol `tight`)
    oracle_square  the same made square (protocol `box`)
    best_scale     the best of five squares around the click, chosen by the truth
    """

    passes: dict[int, float]
    oracle: float
    oracle_square: float
    best_scale: float
    n: int

    @classmethod
    def of(cls, rows: Sequence[ServoRow]) -> ServoScore:
        return cls(
            passes={k: float(np.mean([row.passes[k] for row in rows])) for k in PASSES},
            oracle=float(np.mean([row.oracle for row in rows])),
            oracle_square=float(np.mean([row.oracle_square for row in rows])),
            best_scale=float(np.mean([row.best_scale for row in rows])),
            n=len(rows),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passes": {str(k): iou for k, iou in self.passes.items()}}


def follow_all(network: Network, scene: Scene, click: tuple[int, int]) -> tuple[ServoRow, Mask]:
    """One object's row, and the mask after the last run."""
    point = click[0] + 0.5, click[1] + 0.5
    truth = scene.mask > 0
    masks = follow(network, scene.picture, point, max(PASSES))
    short = min(scene.photo.size.width, scene.photo.size.height)

    def of(roi: Roi) -> float:
        return iou(look_at(network, scene.picture, roi).full(), truth)

    row = ServoRow(
        passes={k: iou(masks[k - 1].full(), truth) for k in PASSES},
        oracle=of(region(scene.instance.box, "tight")),
        oracle_square=of(region(scene.instance.box, "box")),
        best_scale=max(of(Roi.around(*point, share * short, share * short)) for share in SCALES),
    )
    return row, masks[-1]


def follow(network: Network, picture: Picture, point: tuple[float, float], runs: int) -> list[Mask]:
    """What the tracker hands on at each of so many frames, while somebody looks at the point.

    A frame for which it asks for no region counts as a run, and its mask is empty.
    """
    size = _size_of(picture)
    tracker = RoiTracker(size)
    masks: list[Mask] = []
    for seq in range(runs):
        time_ns = (seq + 1) * _FRAME_NS
        tracker.look(point, time_ns)
        roi = tracker.predict(time_ns)
        masks.append(tracker.see(look_at(network, picture, roi, seq, time_ns)))
    return masks


def look_at(
    network: Network, picture: Picture, roi: Roi | None, seq: int = 0, time_ns: int = 0
) -> Mask:
    """The network's mask of a region, as a host sensor makes it; empty without a region."""
    size = _size_of(picture)
    seen = visible(roi, size) if roi else None
    if seen is None:
        nothing = np.zeros((network.input.height, network.input.width), np.bool_)
        return Mask(nothing, Roi(0, 0, size.width, size.height), size, time_ns, seq, 0.0)
    found = network.segment(crop(picture, seen, network.input))
    return Mask(found.bits, seen, size, time_ns, seq, found.score)


def _size_of(picture: Picture) -> Size:
    height, width = picture.shape[:2]
    return Size(width, height)
