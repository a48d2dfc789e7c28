"""CSRT and KCF of opencv-contrib, run by a Python of its own: knows nothing of this package.

A JSON object comes on standard input, `{"files": [...], "box": [left, top, width, height]}`, the
box in the first frame. `{"csrt": [...], "kcf": [...]}` leaves on standard output: a box for each
frame, null where the tracker has lost its object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2


def maker(name: str) -> Callable[[], Any]:
    """OpenCV has moved them about: they are in the module itself, or in its `legacy`."""
    for place in (cv2, getattr(cv2, "legacy", None)):
        make = getattr(place, f"Tracker{name}_create", None)
        if make is not None:
            return make
    sys.exit(f"cv2 {cv2.__version__} has no Tracker{name}: pip install opencv-contrib-python")


def follow(tracker: Any, files: list[str], box: list[float]) -> Iterator[list[float] | None]:
    tracker.init(cv2.imread(files[0]), tuple(round(side) for side in box))
    yield box
    for file in files[1:]:
        found, moved = tracker.update(cv2.imread(file))
        yield [float(side) for side in moved] if found else None


def main() -> None:
    trackers = {name: maker(name.upper())() for name in ("csrt", "kcf")}
    video = json.load(sys.stdin)
    json.dump({name: list(follow(each, **video)) for name, each in trackers.items()}, sys.stdout)


if __name__ == "__main__":
    main()
