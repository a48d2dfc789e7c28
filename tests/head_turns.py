"""Does it help to know how the head turns? `python -m tests.head_turns FOLDER`, $GLASSES_DATA/gaze.

A virtual thing, far away and at rest, is seen through a virtual camera on a head whose turns were
recorded (Neon's and Aria's orientation, Tobii's gyroscope). At each exposure of 30 Hz the camera's
newest mask is so many frames old, and showed the thing in the middle; where is the thing now?

    as seen  where the mask showed it
    without  where the tracker's own belief, which has followed it for half a second, expects it
    with     where the same belief expects it that knows how the head turns: the recorded poses up
             to one frame before the exposure

Prints the error in pixels of a 640x480 sensor that sees 70 degrees: mean, and 95th percentile, over
all exposures and over those at which the head turns by more than 20 degrees a second. Masks and
poses are exact and come without delay of their own: only the prediction is judged.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from math import radians
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glasses_sdk.belief import Belief
from glasses_sdk.gaze.poses import combined, turned
from glasses_sdk.geometry import apply
from glasses_sdk.turning import Quaternion, Turns, focal_px, homography, rotation, turn_angle
from glasses_sdk.types import HeadPose, Size

SENSOR = Size(640, 480)
FOCAL_PX = focal_px(SENSOR, 70)
MIDDLE = SENSOR.width / 2 - 0.5, SENSOR.height / 2 - 0.5
FRAME_NS = 1_000_000_000 // 30
HISTORY = 15  # frames that the belief has followed
SIZE_PX = 80  # of the thing, for the belief
TURNING = radians(20)  # a second
LAGS = (1, 2, 3, 4)
Point = tuple[float, float]
NEON_IMU = np.dtype(
    [("time_ns", "<i8"), ("gyro", "<f4", 3), ("accel", "<f4", 3), ("q_wxyz", "<f4", 4)]
)
CAMERA_TO_IMU = turned((radians(-102), 0.0, 0.0))  # Neon's scene camera is pitched against its IMU


class Recorded(NamedTuple):
    """Orientations (x, y, z, w) of a camera, [n, 4], at times in ns."""

    time_ns: np.ndarray
    orientation: np.ndarray

    @classmethod
    def of(cls, time_ns: np.ndarray, orientation: np.ndarray) -> Recorded:
        """In order of time; q and -q are the same, so neighbours are brought to the same side."""
        order = np.unique(time_ns, return_index=True)[1]
        q = orientation[order]
        side = np.sign((q[1:] * q[:-1]).sum(axis=1))
        q[1:] *= np.cumprod(np.where(side == 0, 1, side))[:, None]
        return cls(time_ns[order], q)

    def at(self, time_ns: float) -> Quaternion:
        q = [np.interp(time_ns, self.time_ns, part) for part in self.orientation.T]
        x, y, z, w = np.array(q) / np.linalg.norm(q)
        return float(x), float(y), float(z), float(w)

    def poses(self, after_ns: int, until_ns: int) -> Iterator[HeadPose]:
        """Those in this time, as they were recorded."""
        first, end = np.searchsorted(self.time_ns, [after_ns, until_ns], "right")
        for i in range(first, end):
            x, y, z, w = (self.orientation[i] / np.linalg.norm(self.orientation[i])).tolist()
            yield HeadPose(int(self.time_ns[i]), (x, y, z, w))


class Errors(NamedTuple):
    """Pixels at each exposure, and how fast the head turned there, in rad/s."""

    as_seen: np.ndarray
    without: np.ndarray
    using: np.ndarray
    rate: np.ndarray


def errors(turns: Recorded, lag: int) -> Errors:
    """At each exposure whose newest mask is `lag` frames old."""
    first, last = int(turns.time_ns[0]), int(turns.time_ns[-1])
    start = first + (HISTORY + lag + 2) * FRAME_NS
    return Errors(*np.array([_error(turns, t, lag) for t in range(start, last, FRAME_NS)]).T)


def _error(turns: Recorded, exposure_ns: int, lag: int) -> tuple[float, float, float, float]:
    truth = np.array(_place(turns, exposure_ns - lag * FRAME_NS, exposure_ns))
    rate = turn_angle(turns.at(exposure_ns - FRAME_NS), turns.at(exposure_ns)) / FRAME_NS * 1e9
    foreseen = (MIDDLE, *expected(turns, exposure_ns, lag))
    off = [float(np.hypot(*(truth - one))) for one in foreseen]
    return off[0], off[1], off[2], rate


def expected(turns: Recorded, exposure_ns: int, lag: int) -> tuple[Point, Point]:
    """Where the belief has the thing at the exposure, without and with the head's poses."""
    seen_ns = exposure_ns - lag * FRAME_NS
    masks = [
        (time_ns, _place(turns, seen_ns, time_ns))
        for time_ns in range(seen_ns - HISTORY * FRAME_NS, seen_ns + 1, FRAME_NS)
    ]
    known = Turns(SENSOR, FOCAL_PX)
    for pose in turns.poses(masks[0][0] - FRAME_NS, exposure_ns - FRAME_NS):
        known.add(pose)
    without, using = (_followed(masks, poses).centre(exposure_ns) for poses in (None, known))
    return without, using


def _place(turns: Recorded, seen_ns: int, time_ns: int) -> Point:
    """Of the thing that was in the middle when it was seen."""
    moved = homography(turns.at(seen_ns), turns.at(time_ns), FOCAL_PX, SENSOR)
    return apply(moved, *MIDDLE)


def _followed(masks: list[tuple[int, Point]], turns: Turns | None) -> Belief:
    """What the tracker believes after these: time and place."""
    time_ns, point = masks[0]
    belief = Belief(*point, SIZE_PX, time_ns, turns)
    for time_ns, point in masks:
        belief.measure(point, SIZE_PX, time_ns)
    return belief


# The recordings


def neon(folder: Path) -> list[Recorded]:
    """One for each part of the recording."""
    found = []
    for path in sorted(folder.glob("imu ps*.raw")):
        data = np.fromfile(path, NEON_IMU)
        q = [combined((x, y, z, w), CAMERA_TO_IMU) for w, x, y, z in data["q_wxyz"].tolist()]
        found.append(Recorded.of(data["time_ns"], np.array(q)))
    return found


def tobii(path: Path) -> list[Recorded]:
    """The gyroscope, degrees a second about x left, y up, z forward, summed up."""
    data = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    rates = sorted((one["ts"] * 1000, one["gy"]) for one in data if "gy" in one)
    q: list[Quaternion] = [(0.0, 0.0, 0.0, 1.0)]
    for (before, _), (now, (x, y, z)) in pairwise(rates):
        share = radians(1) * (now - before) / 1e9
        q.append(combined(q[-1], turned((-x * share, -y * share, z * share))))
    return [Recorded.of(np.array([time_ns for time_ns, _ in rates]), np.array(q))]


def aria(path: Path) -> list[Recorded]:
    """Of the device, whose z looks ahead; the camera is put upright on it."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    time_ns = np.array([int(row["tracking_timestamp_us"]) * 1000 for row in rows])
    names = [f"q{axis}_odometry_device" for axis in "xyzw"]
    q = np.array([[float(row[name]) for name in names] for row in rows])
    down = rotation(tuple(q[0])).T @ (0.0, 0.0, -1.0)  # gravity as the device has it
    roll = float(np.arctan2(-down[0], down[1]))  # about z, until y is down
    upright = turned((0.0, 0.0, roll))
    return [Recorded.of(time_ns, np.array([combined(tuple(one), upright) for one in q]))]


def recordings(gaze: Path) -> dict[str, list[Recorded]]:
    return {
        "neon": neon(gaze / "neon"),
        "tobii": tobii(gaze / "tobii_g2/livedata.json.gz"),
        "aria": aria(gaze / "aria/open_loop_trajectory_3s.csv.gz"),
    }


def pooled(parts: list[Recorded], lag: int) -> Errors:
    each = [errors(part, lag) for part in parts]
    return Errors(*(np.concatenate(same) for same in zip(*each, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.head_turns", description=__doc__)
    parser.add_argument("folder", type=Path)
    print(f"{'':6} lag  {'exposures':>14}  {'as seen':>13} {'without':>13} {'with':>13}   pixels")
    for name, parts in recordings(parser.parse_args().folder).items():
        for lag in LAGS:
            found = pooled(parts, lag)
            for what, chosen in (("all", found.rate >= 0), ("turning", found.rate > TURNING)):
                if chosen.any():
                    shown = (
                        f"{e[chosen].mean():5.1f} p95 {np.percentile(e[chosen], 95):4.0f}"
                        for e in found[:3]
                    )
                    print(f"{name:6} {lag}    {what:8}{int(chosen.sum()):5}  ", *shown)


if __name__ == "__main__":
    main()
