"""How the event filter agrees with Neon's own detector: `python -m tests.fixations FOLDER`.

FOLDER is a native Neon recording with its fixations, as $GLASSES_DATA/gaze/neon. Neon's detector
sees the whole recording and the picture's optic flow before it decides; the filter sees each sample
once, as it comes, and no picture. The files are read by their .dtype alone, without the SDK.

    samples   of all that Neon calls fixation or saccade: those that the filter calls a hold (a
              fixation or pursuit: a turning head makes one look like the other) against those in
              Neon's fixations
    landings  the filter's, against the beginnings of Neon's fixations: pairs within 60 ms, each
              used once. Neon keeps no fixation below about 70 ms, the filter cannot know

The windows and thresholds of the filter were chosen with this recording at hand, so these figures
say how far the two agree, not how either would do on another person.
"""

from __future__ import annotations

import argparse
import ast
from dataclasses import dataclass
from math import atan, degrees
from pathlib import Path

import numpy as np

from glasses_sdk.gaze.events import EventConfig, EventFilter, Movement
from glasses_sdk.types import Gaze

WIDTH, HEIGHT = 1600, 1200
NEAR_NS = 60_000_000
FIXATION = 1  # the other event type, 0, is a saccade


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts; `of` what Neon says, `found` what the filter says, `both` what both say."""

    both: int
    found: int
    of: int

    @property
    def precision(self) -> float:
        return self.both / self.found

    @property
    def recall(self) -> float:
        return self.both / self.of

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.both + other.both, self.found + other.found, self.of + other.of)


def column_type(path: Path) -> np.dtype:
    """What a .dtype file says, little-endian."""
    return np.dtype(ast.literal_eval(path.read_text())).newbyteorder("<")


def field_of_view(folder: Path) -> tuple[float, float]:
    """Of the scene camera, without its distortion: its matrix lies behind version and serial."""
    matrix = np.frombuffer((folder / "calibration.bin").read_bytes(), "<f8", 9, 7).reshape(3, 3)
    wide, high = WIDTH / 2 / matrix[0, 0], HEIGHT / 2 / matrix[1, 1]
    return 2 * degrees(atan(wide)), 2 * degrees(atan(high))


def filtered(folder: Path, part: str, config: EventConfig) -> list[Movement]:
    """The movements of one part of the recording."""
    times = np.fromfile(folder / f"gaze {part}.time", "<i8")
    points = np.fromfile(folder / f"gaze {part}.raw", column_type(folder / "gaze.dtype"))
    worn = np.fromfile(folder / f"worn {part}.raw", column_type(folder / "worn.dtype"))
    events = EventFilter(config)
    rows = zip(times, points["x"] / WIDTH, points["y"] / HEIGHT, worn["worn"] > 0, strict=True)
    samples = (Gaze(int(t), float(x), float(y), float(on)) for t, x, y, on in rows)
    return [movement for sample in samples if (movement := events.take(sample))]


def agreements(folder: Path, config: EventConfig) -> tuple[Agreement, Agreement]:
    """Of samples and of landings, over all parts."""
    samples, landings = Agreement(0, 0, 0), Agreement(0, 0, 0)
    for path in sorted(folder.glob("fixations ps*.raw")):
        part = path.stem.removeprefix("fixations ")
        known = np.fromfile(path, column_type(folder / "fixations.dtype"))
        movements = filtered(folder, part, config)
        times = np.array([movement.gaze.time_ns for movement in movements])
        inside = _inside(times, known)
        fixed = _inside(times, known[known["event_type"] == FIXATION])
        held = np.array([movement.state in ("fixation", "pursuit") for movement in movements])
        landed = np.array([movement.landed for movement in movements])
        starts = known["start_timestamp_ns"][known["event_type"] == FIXATION]
        samples += Agreement(
            int((held & fixed).sum()), int((held & inside).sum()), int(fixed.sum())
        )
        found = times[landed & inside]
        landings += Agreement(_pairs(found, starts), len(found), len(starts))
    return samples, landings


def _inside(times: np.ndarray, events: np.ndarray) -> np.ndarray:
    first, last = events["start_timestamp_ns"], events["end_timestamp_ns"]
    return ((times[:, None] >= first) & (times[:, None] < last)).any(axis=1)


def _pairs(found: np.ndarray, starts: np.ndarray) -> int:
    """The nearest pairs first, none of them farther apart than `NEAR_NS`."""
    distance = np.abs(found[:, None] - starts[None]).astype(float)
    count = 0
    while distance.size and distance.min() <= NEAR_NS:
        row, column = np.unravel_index(distance.argmin(), distance.shape)
        distance[row], distance[:, column] = np.inf, np.inf
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fixations", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    config = EventConfig(field_of_view_deg=field_of_view(folder))
    for name, one in zip(("samples", "landings"), agreements(folder, config), strict=True):
        print(f"{name:9} precision {one.precision:.3f}  recall {one.recall:.3f}  {one}")


if __name__ == "__main__":
    main()
