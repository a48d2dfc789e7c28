"""Recorded gaze of any kind that is known, packed by gzip or not.

FILE                    what
....csv                 ours, or Pupil Player's gaze_positions.csv
folder, or a .raw in it a native recording of Neon
....json                livedata of Tobii Pro Glasses 2, JSON lines
"""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec

from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.gaze.guard import as_gaze
from glasses_sdk.gaze.neon_recording import read_neon_recording
from glasses_sdk.gaze.replay import read_recording
from glasses_sdk.types import Gaze

__all__ = ["read_gaze"]

_SHORTEST_NS = 100_000_000
_KNOWN = "a .csv of ours or of Pupil Player, a folder of Neon, or livedata.json of Tobii Glasses 2"


def read_gaze(path: Path) -> list[Gaze]:
    """At least two samples of different times, in order, in the provider's plane 0 to 1.

    Raises DataError for a recording that is missing, damaged or too short, ConfigError for a kind
    that nobody knows.
    """
    samples = sorted(_read(path), key=lambda sample: sample.time_ns)
    if not any(one.time_ns < other.time_ns for one, other in pairwise(samples)):
        raise DataError(f"{path} has no two gaze samples, one after the other")
    lasts_ns = samples[-1].time_ns - samples[0].time_ns
    if lasts_ns < _SHORTEST_NS:
        raise DataError(f"{path} lasts {lasts_ns} ns by its times: are they nanoseconds?")
    return samples


def _read(path: Path) -> list[Gaze]:
    if path.is_dir():
        return read_neon_recording(path).samples()
    match path.name.removesuffix(".gz").rpartition(".")[2]:
        case "raw":
            return read_neon_recording(path.parent).samples()
        case "csv":
            return read_recording(path)
        case "json":
            return _tobii(path)
        case _:
            raise ConfigError(f"{path} is no gaze recording by its name; known: {_KNOWN}")


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read gaze recording {path}: {error}") from error


class _Datum(msgspec.Struct):
    """`ts` in microseconds, `s` 0 where valid; of all the kinds in the stream, `gp` is the gaze."""

    ts: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
    s: int = 0
    gp: tuple[float, float] | None = None


def _tobii(path: Path) -> list[Gaze]:
    decoder = msgspec.json.Decoder(_Datum)
    try:
        data = [decoder.decode(line) for line in _bytes(path).splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no livedata of Tobii Glasses 2: {error}") from error
    return [as_gaze(one.ts * 1000, *one.gp, float(one.s == 0)) for one in data if one.gp]
