"""The tracker beside its contenders, over all videos of a file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from glasses_sdk.network import Network
from glasses_sdk.tracking.contenders import CEILINGS, SIDES, constant, ellipses, follow, told
from glasses_sdk.tracking.contrib import boxes_of
from glasses_sdk.tracking.eyes import Eyes
from glasses_sdk.tracking.scores import Curve, Report, Score, curve
from glasses_sdk.tracking.videos import Clip, Video
from glasses_sdk.types import Gaze, Mask

__all__ = ["Judged", "Judgement", "judge"]

Progress = Callable[[int, int], None]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One video: what the tracker handed on in each frame, and everybody's curve."""

    video: Video
    masks: list[Mask]
    tracker: Curve
    ceilings: dict[tuple[float, bool], Curve]
    constants: dict[float, Curve]
    contrib: dict[str, Curve]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """All videos, and which contender is meant.

    ceiling  padding of the true box, a share, and whether it was made square: best by mean J
    side     of the constant square, as a share of the frame's height: best by mean J
    """

    videos: list[Judged]
    ceiling: tuple[float, bool]
    side: float

    def report(self) -> Report:
        contrib = {
            name: Score.mean([each.contrib[name].score for each in self.videos])
            for name in self.videos[0].contrib
        }
        return Report(
            mean=Score.mean([each.tracker.score for each in self.videos]),
            ceiling=Score.mean([each.ceilings[self.ceiling].score for each in self.videos]),
            fixed=Score.mean([each.constants[self.side].score for each in self.videos]),
            csrt=contrib.get("csrt"),
            kcf=contrib.get("kcf"),
            sequences={each.video.name: each.tracker.score for each in self.videos},
        )


def judge(
    network: Network,
    videos: Sequence[Video],
    eyes: Eyes,
    contrib: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Judgement:
    """Follow the object of each video, alone and beside the contenders.

    contrib   a Python that has opencv-contrib: its trackers are run as well
    progress  `progress(done, total)` counts frames

    Raises DataError for a video that is damaged, ConfigError where that Python has no trackers.
    """
    total = sum(len(video.files) for video in videos)
    judged: list[Judged] = []
    done, before_ns = 0, 0
    for video in videos:
        clip = video.load()
        judged.append(_judged(network, video, clip, eyes(video, clip, before_ns), contrib))
        done += len(video.files)
        before_ns += round(len(video.files) * 1e9 / video.fps)
        progress(done, total)
    return Judgement(
        judged,
        ceiling=_best([each.ceilings for each in judged]),
        side=_best([each.constants for each in judged]),
    )


def _judged(
    network: Network, video: Video, clip: Clip, looks: list[Gaze], contrib: Path | None
) -> Judged:
    masks = follow(network, video, clip, looks)
    first = clip.boxes[0]
    others = boxes_of(contrib, video, first) if contrib and first else {}
    return Judged(
        video=video,
        masks=masks,
        tracker=curve([mask.full() for mask in masks], clip.truths),
        ceilings={how: curve(told(network, clip, *how), clip.truths) for how in CEILINGS},
        constants={
            side: curve(constant(network, video, clip, looks, side), clip.truths) for side in SIDES
        },
        contrib={
            name: curve(ellipses(boxes, video.size), clip.truths) for name, boxes in others.items()
        },
    )


def _best(curves: Sequence[Mapping[Key, Curve]]) -> Key:
    """The one that has the highest mean J over all videos."""
    return max(curves[0], key=lambda which: Score.mean([each[which].score for each in curves]).J)
