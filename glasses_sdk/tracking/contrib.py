"""Asks another Python, one with opencv-contrib, for the boxes of its trackers.

opencv-contrib-python cannot live beside opencv-python in one environment.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from glasses_sdk.errors import ConfigError
from glasses_sdk.tracking.videos import Video
from glasses_sdk.types import Roi

__all__ = ["Boxes", "boxes_of"]

Boxes = list[Roi | None]
_SCRIPT = Path(__file__).with_name("contrib_boxes.py")


def boxes_of(python: Path, video: Video, first: Roi) -> dict[str, Boxes]:
    """The boxes of `csrt` and `kcf` in each frame, from the object's true box in the first.

    Raises ConfigError where that Python cannot be run or has no such trackers.
    """
    box = [first.left, first.top, first.width, first.height]
    asked = json.dumps({"files": [str(file) for file in video.files], "box": box})
    try:
        done = subprocess.run(
            [python, "-I", _SCRIPT], input=asked, capture_output=True, text=True, check=True
        )
    except OSError as error:
        raise ConfigError(f"cannot run the Python {python}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["it said nothing"]
        raise ConfigError(f"{python} does not run OpenCV's trackers: {said[-1]}") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{python} is no Python: it says {done.stdout[:40]!r}") from error
    return {name: [_roi(box) for box in boxes] for name, boxes in answer.items()}


def _roi(box: Any) -> Roi | None:
    return Roi(*box) if box and box[2] > 0 and box[3] > 0 else None
