"""Models of somebody who looks at the object of a video. Points are frame pixels.

The object's point in a frame, where the eyes are meant to be, is well inside of it: of the pixels
at least half as far from the outline as the deepest one, that nearest to the mask's centre of
gravity. Between frames it moves in straight lines; while the object is out of sight it stays.

    point      one look at that point at the first frame, then none
    noisy:PX   120 looks a second, each beside the point by a Gaussian of PX pixels along each axis
    real:FILE  a recording's own samples: their times, pauses, blinks and confidence, and how far
               each lies from the median of the 0.2 s about it. That keeps tremor, drift, the
               tracker's noise and the points on the way of a saccade, and takes away where the
               wearer looked: gaze and video come from different people. The provider's plane is
               laid over the frame. One video after the other goes on in the recording, which
               begins again at its end; a second or more without a sample is cut out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ConfigError
from glasses_sdk.tracking.recordings import read_gaze
from glasses_sdk.tracking.videos import Clip, Video
from glasses_sdk.types import Bits, Gaze, Size

__all__ = ["Eyes", "object_point", "open_eyes"]

Points = npt.NDArray[np.float64]
Eyes = Callable[[Video, Clip, int], list[Gaze]]
"""The looks during a video, in frame pixels and the video's time, oldest first.

The last argument is how many nanoseconds of video these eyes have seen before.
"""

_NOISY_HZ = 120
_STOPPED_NS = 1_000_000_000
_ABOUT_NS = 100_000_000  # to each side: what the median of a recording is taken over


def open_eyes(name: str) -> Eyes:
    """Raises ConfigError for a name that is none of the three, DataError for a bad recording."""
    kind, _, rest = name.partition(":")
    match kind:
        case "point" if not rest:
            return _point
        case "noisy":
            return _noisy(_pixels(rest))
        case "real" if rest:
            return _real(read_gaze(Path(rest)))
        case _:
            raise ConfigError(f"nobody looks like {name!r}; known: point, noisy:PX, real:FILE")


def object_point(truth: Bits) -> tuple[float, float]:
    """Where the eyes are meant to be: see the top of this file. The mask is not empty."""
    depth = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    ys, xs = np.nonzero(truth)
    rows, columns = np.nonzero(depth >= depth.max() / 2)
    nearest = np.hypot(columns - xs.mean(), rows - ys.mean()).argmin()
    return float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5


def _point(video: Video, clip: Clip, before_ns: int) -> list[Gaze]:
    return [Gaze(video.times_ns()[0], *object_point(clip.truths[0]))]


def _noisy(pixels: float) -> Eyes:
    def looks(video: Video, clip: Clip, before_ns: int) -> list[Gaze]:
        first, last = video.times_ns()[0], video.times_ns()[-1]
        times = np.arange(first, last + 1, 1e9 / _NOISY_HZ).astype(np.int64)
        errors = np.random.default_rng(before_ns).normal(0, pixels, (times.size, 2))
        return _looks(times, _points_at(times, video, clip) + errors, np.ones(times.size))

    return looks


def _pixels(text: str) -> float:
    try:
        pixels = float(text)
    except ValueError:
        pixels = -1.0
    if not 0 <= pixels < 1e6:
        raise ConfigError(f"noisy looks miss by 0 or more pixels, as in noisy:8, not {text!r}")
    return pixels


def _real(samples: list[Gaze]) -> Eyes:
    times = _closed_up(np.array([sample.time_ns for sample in samples]))
    trust = np.array([sample.confidence for sample in samples])
    errors = _errors(times, np.array([(sample.x, sample.y) for sample in samples]))
    length = int(times[-1]) + max(int(np.median(np.diff(times))), 1)

    def looks(video: Video, clip: Clip, before_ns: int) -> list[Gaze]:
        start, stop = video.times_ns()[0], video.times_ns()[-1]
        start -= round(1e9 / video.fps)  # the looks that the first frame can know
        began = before_ns % length
        laps = range(ceil((began + stop - start) / length) + 1)
        all_times = np.concatenate([times + lap * length for lap in laps]) + start - began
        inside = (all_times > start) & (all_times <= stop)
        which = np.tile(np.arange(times.size), len(laps))[inside]
        points = _points_at(all_times[inside], video, clip) + errors[which] * _sides(video.size)
        return _looks(all_times[inside], points, trust[which])

    return looks


def _closed_up(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """From zero on, without the pauses in which nothing was recorded at all."""
    steps = np.diff(times)
    usual = max(int(np.median(steps)), 1)
    steps[steps >= _STOPPED_NS] = usual
    return np.concatenate([[0], np.cumsum(steps)])


def _sides(size: Size) -> Points:
    return np.array([size.width, size.height], np.float64)


def _errors(times: npt.NDArray[np.int64], points: Points) -> Points:
    """How far each sample lies from the median about it, in the provider's plane."""
    low = np.searchsorted(times, times - _ABOUT_NS)
    high = np.searchsorted(times, times + _ABOUT_NS, "right")
    errors = np.full_like(points, np.nan)
    seen: npt.NDArray[np.bool_] = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    for k in np.flatnonzero(seen):
        about = slice(low[k], high[k])
        errors[k] = points[k] - np.median(points[about][seen[about]], axis=0)
    return errors


def _points_at(times: npt.NDArray[np.int64], video: Video, clip: Clip) -> Points:
    """The object's point at any time, [n, 2]."""
    there = [k for k, box in enumerate(clip.boxes) if box]
    known = np.array([object_point(clip.truths[k]) for k in there])
    frames = np.array(video.times_ns())
    last = np.searchsorted(there, np.arange(frames.size), "right") - 1  # seen so far
    each = known[last]
    return np.stack([np.interp(times, frames, each[:, axis]) for axis in (0, 1)], axis=1)


def _looks(times: npt.NDArray[np.int64], points: Points, trust: Points) -> list[Gaze]:
    return [
        Gaze(int(time_ns), float(x), float(y), float(confidence))
        for time_ns, (x, y), confidence in zip(times, points, trust, strict=True)
    ]
