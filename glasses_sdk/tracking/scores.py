"""From full-frame masks to J, F and the share of frames that are good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glasses_sdk.evaluation import boundary_f, iou
from glasses_sdk.types import Bits

__all__ = ["Curve", "Report", "Score", "curve"]

_GOOD = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """Fractions of 1.

    J      mean IoU in frame pixels
    F      mean boundary F (Perazzi 2016)
    share  of the frames, those with J above 0.5
    """

    J: float
    F: float
    share: float

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Of several videos: each counts the same, however long it is."""
        rows = np.array([(score.J, score.F, score.share) for score in scores])
        return cls(*(float(value) for value in rows.mean(axis=0)))


@dataclass(frozen=True, slots=True)
class Curve:
    """J and F of each frame of one video."""

    J: list[float]
    F: list[float]

    @property
    def score(self) -> Score:
        good = float(np.mean([one > _GOOD for one in self.J]))
        return Score(float(np.mean(self.J)), float(np.mean(self.F)), good)


@dataclass(frozen=True, slots=True)
class Report:
    """Means over the videos, and the tracker on each of them.

    ceiling    the network, told each frame's true box
    fixed      the network, in a square of constant size at the look
    csrt, kcf  OpenCV's trackers, told the first frame's true box; None where they were not run
    """

    mean: Score
    ceiling: Score
    fixed: Score
    csrt: Score | None
    kcf: Score | None
    sequences: dict[str, Score]

    def to_json(self) -> dict[str, Any]:
        """`{mean, ceiling, fixed, csrt, kcf, sequences: {name: {J, F, share}}}`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a person to read."""
        means = {
            "tracker": self.mean,
            "ceiling": self.ceiling,
            "fixed": self.fixed,
            "csrt": self.csrt,
            "kcf": self.kcf,
        }
        rows = [(name, score) for name, score in means.items() if score]
        rows += [(f"  {name}", score) for name, score in self.sequences.items()]
        return [
            f"{name:24} J {score.J:.3f}  F {score.F:.3f}  J > 0.5 in {score.share:.0%}"
            for name, score in rows
        ]


def curve(found: Sequence[Bits], truths: Sequence[Bits]) -> Curve:
    """Compare masks with the truth, frame by frame; no mask of an object that is there counts 0."""
    pairs = list(zip(found, truths, strict=True))
    return Curve([iou(*pair) for pair in pairs], [boundary_f(*pair) for pair in pairs])
