"""Recorded gaze: a CSV file of ours, the `gaze_positions.csv` that Pupil Player exports, or the
folder of a native recording of Neon.

Ours is `time_ns,x,y,confidence`. Time counts from the sensor's first frame; x and y are 0 to 1 of
the frame, origin top-left. Of Pupil's, time counts from the first sample, which is where the world
video begins that was exported with it, and y is flipped.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import inf, isfinite, nan
from pathlib import Path
from typing import Self, TextIO, TypeVar

from glasses_sdk.errors import DataError
from glasses_sdk.gaze.guard import FARTHEST
from glasses_sdk.gaze.neon_recording import read_neon_recording
from glasses_sdk.types import Gaze

__all__ = ["Replay", "read_recording"]

_COLUMNS = ["time_ns", "x", "y", "confidence"]
_PUPIL = {"gaze_timestamp", "norm_pos_x", "norm_pos_y", "confidence"}  # among others


class Replay:
    """A `GazeSource` that plays a recording against a clock.

    origin_ns  what the recording's zero is on the clock
    clock      now, in monotonic ns; in a recording of which every frame is wanted, the frame's time

    Raises DataError for one that is damaged or empty.
    """

    def __init__(self, path: Path, origin_ns: int, clock: Callable[[], int]) -> None:
        self._samples = read_recording(path)
        if not self._samples:
            raise DataError(f"{path} holds no gaze sample")
        self._times = [sample.time_ns for sample in self._samples]
        self._origin_ns = origin_ns
        self._clock = clock
        self._next = 0

    def read(self) -> Sequence[Gaze]:
        end = bisect_right(self._times, self._clock() - self._origin_ns)
        fresh = self._samples[self._next : end]
        self._next = max(self._next, end)
        return [replace(gaze, time_ns=gaze.time_ns + self._origin_ns) for gaze in fresh]

    @property
    def reason(self) -> None:
        """A recording was checked when it was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def read_recording(path: Path) -> list[Gaze]:
    """All samples of the file, which may be packed by gzip (`.csv.gz`).

    A blink is a sample of confidence 0; its x and y may be empty. Pauses between samples are fine:
    nobody was seen to look then. Raises DataError with the line that is wrong: a time that goes
    back or is no whole number, a point that is missing, NaN or nowhere near a picture.
    """
    if path.is_dir():
        return read_neon_recording(path).samples()
    try:
        with _opened(path) as file:
            rows = csv.DictReader(file)
            if rows.fieldnames == _COLUMNS:
                return list(_in_order(path, rows, _sample))
            if _PUPIL <= set(rows.fieldnames or ()):
                return _from_zero(list(_in_order(path, rows, _pupil_sample)))
            raise DataError(
                f"{path} has the columns {rows.fieldnames or 'none'}; "
                f"a gaze recording begins with {','.join(_COLUMNS)}"
            )
    except OSError as error:
        raise DataError(f"cannot read gaze recording {path}: {error.strerror or error}") from error
    except (EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise DataError(f"{path} is no CSV text: {error}") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


Row = dict[str, str | None]


def _from_zero(samples: list[Gaze]) -> list[Gaze]:
    zero_ns = samples[0].time_ns if samples else 0
    return [replace(sample, time_ns=sample.time_ns - zero_ns) for sample in samples]


def _in_order(path: Path, rows: csv.DictReader[str], read: Callable[[Row], Gaze]) -> Iterator[Gaze]:
    before = None
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        try:
            if None in row:
                raise ValueError(f"there are more than {len(row) - 1} fields")
            sample = read(row)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        if before is not None and sample.time_ns < before:
            raise DataError(
                f"{where}: time goes back from {before} to {sample.time_ns} ns; "
                f"sort the file by time"
            )
        before = sample.time_ns
        yield sample


def _sample(row: Row) -> Gaze:
    """Raises ValueError that names the field."""
    time_ns = _number(row, "time_ns", int, "a whole number of ns")
    confidence = _number(row, "confidence", float, "a number in 0 to 1")
    if confidence == 0 and not (row["x"] and row["y"]):
        return Gaze(time_ns, nan, nan, 0.0)
    x, y = (_number(row, name, float, "a number, or confidence is 0") for name in ("x", "y"))
    return _gaze(time_ns, x, y, confidence)


def _pupil_sample(row: Row) -> Gaze:
    seconds = _number(row, "gaze_timestamp", float, "a number of seconds")
    if not isfinite(seconds):
        raise ValueError(f"gaze_timestamp is a number of seconds, not {seconds}")
    x, y, confidence = (
        _number(row, name, float, "a number") for name in ("norm_pos_x", "norm_pos_y", "confidence")
    )
    return _gaze(round(seconds * 1e9), x, 1 - y, confidence)


def _gaze(time_ns: int, x: float, y: float, confidence: float) -> Gaze:
    if abs(time_ns) >= 1 << 62:
        raise ValueError(f"no clock shows {time_ns:.3g} ns")
    if FARTHEST < max(abs(x), abs(y)) < inf:
        raise ValueError(f"no point of a picture is ({x:g}, {y:g})")
    return Gaze(time_ns, x, y, confidence)


NumberT = TypeVar("NumberT", int, float)


def _number(row: Row, name: str, kind: Callable[[str], NumberT], wanted: str) -> NumberT:
    try:
        return kind(row[name] or "")
    except ValueError as error:
        raise ValueError(f"{name} is {wanted}, not {row[name] or 'empty'}") from error
