"""How well the tracker follows an object through real videos whose every frame has a true mask.

`judge` lets the runtime's own tracker follow a model of somebody's eyes through each video, and
measures beside it what a perfect region would give, a region of constant size, and OpenCV's
trackers.
"""

from __future__ import annotations

from glasses_sdk.tracking.eyes import Eyes, open_eyes
from glasses_sdk.tracking.judging import Judgement, judge
from glasses_sdk.tracking.scores import Report, Score
from glasses_sdk.tracking.videos import Video, load_videos

__all__ = ["Eyes", "Judgement", "Report", "Score", "Video", "judge", "load_videos", "open_eyes"]
