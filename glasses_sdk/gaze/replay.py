"""Recorded gaze from a CSV file: `time_ns,x,y,confidence`.

Time counts from the sensor's first frame; x and y are 0 to 1 of the frame, origin top-left.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from glasses_sdk.errors import DataError
from glasses_sdk.types import Gaze

__all__ = ["Replay", "read_recording"]

_COLUMNS = ["time_ns", "x", "y", "confidence"]


class Replay:
    """A `GazeSource` that plays a recording against a clock.

    origin_ns  what the recording's zero is on the clock
    clock      now, in monotonic ns; in a recording of which every frame is wanted, the frame's time
    """

    def __init__(self, path: Path, origin_ns: int, clock: Callable[[], int]) -> None:
        self._samples = read_recording(path)
        self._times = [sample.time_ns for sample in self._samples]
        self._origin_ns = origin_ns
        self._clock = clock
        self._next = 0

    def read(self) -> Sequence[Gaze]:
        end = bisect_right(self._times, self._clock() - self._origin_ns)
        fresh = self._samples[self._next : end]
        self._next = max(self._next, end)
        return [replace(gaze, time_ns=gaze.time_ns + self._origin_ns) for gaze in fresh]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def read_recording(path: Path) -> list[Gaze]:
    """All samples of the file. A blink is a sample of confidence 0; its x and y may be empty.

    Pauses between samples are fine: nobody was seen to look then. Raises DataError with the line
    that is wrong: a time that goes back or is no whole number, a point that is missing or NaN.
    """
    try:
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != _COLUMNS:
                raise DataError(
                    f"{path} has columns {rows.fieldnames}; a gaze recording has {_COLUMNS}"
                )
            return _in_order(path, [_sample(path, n, row) for n, row in enumerate(rows, 2)])
    except OSError as error:
        raise DataError(f"cannot read gaze recording {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV text: {error}") from error


def _sample(path: Path, line: int, row: dict[str, str | None]) -> Gaze:
    try:
        time_ns = int(row["time_ns"] or "")
        confidence = float(row["confidence"] or "nan")
        x, y = (float(row[name] or "nan") for name in ("x", "y"))
        return Gaze(time_ns, x, y, confidence)
    except ValueError as error:
        raise DataError(
            f"{path}, line {line}: {error}; a sample without a point has confidence 0"
        ) from error


def _in_order(path: Path, samples: list[Gaze]) -> list[Gaze]:
    for line, (one, other) in enumerate(zip(samples[:-1], samples[1:], strict=True), 3):
        if other.time_ns < one.time_ns:
            raise DataError(
                f"{path}, line {line}: time goes back from {one.time_ns} to {other.time_ns} ns; "
                f"sort the file by time_ns"
            )
    return samples
