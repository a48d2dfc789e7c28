"""Native recordings of Neon: the folder that the Companion app writes, or Pupil Cloud gives.

Plane       0 to 1 of the scene camera's picture (1600x1200), origin top left
Clock       Unix ns of the phone; a replay counts from the scene camera's first frame, where the
            folder has that, else from the recording's start
Confidence  1 while worn, else 0
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import DataError
from glasses_sdk.gaze.guard import as_gaze
from glasses_sdk.types import Gaze, Size

__all__ = ["SCENE", "NeonRecording", "read_neon_recording"]

SCENE = Size(1600, 1200)
"""Of Neon's scene camera, in pixels."""

_POINT = np.dtype([("x", "<f4"), ("y", "<f4")])
_TIME = np.dtype("<i8")
_EVENT = np.dtype(
    [
        ("event_type", "<i4"),
        ("start_timestamp_ns", "<i8"),
        ("end_timestamp_ns", "<i8"),
        ("start_gaze_x", "<f4"),
        ("start_gaze_y", "<f4"),
        ("end_gaze_x", "<f4"),
        ("end_gaze_y", "<f4"),
        ("mean_gaze_x", "<f4"),
        ("mean_gaze_y", "<f4"),
        ("amplitude_pixels", "<f4"),
        ("amplitude_angle_deg", "<f4"),
        ("mean_velocity", "<f4"),
        ("max_velocity", "<f4"),
    ]
)
_Column = npt.NDArray[Any]
_FIXATION = 1  # the other event type, 0, is a saccade


@dataclass(frozen=True, slots=True, eq=False)
class NeonRecording:
    """What was looked at, sample by sample.

    start_ns   where a replay begins, Unix ns
    time_ns    [n] int64, Unix ns, as the recording has them
    x, y       [n] float32, pixels of the scene camera's picture
    worn       [n] bool
    fixations  [m, 2] int64: the first and the last ns of each, as Neon's own detector saw them
    """

    start_ns: int
    time_ns: npt.NDArray[np.int64]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    worn: npt.NDArray[np.bool_]
    fixations: npt.NDArray[np.int64]

    def samples(self) -> list[Gaze]:
        """As a replay wants them: in order of time from `start_ns`, in 0 to 1 of the picture."""
        order = np.argsort(self.time_ns, kind="stable")
        columns = (
            (self.time_ns - self.start_ns)[order],
            self.x[order] / SCENE.width,
            self.y[order] / SCENE.height,
            self.worn[order],
        )
        return [as_gaze(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def read_neon_recording(folder: Path) -> NeonRecording:
    """The folder's gaze: at 200 Hz where Pupil Cloud has made that, else as the phone saw it.

    A file that the app could not finish is read as far as it goes. Raises DataError.
    """
    try:
        return _read(folder)
    except OSError as error:
        raise DataError(f"cannot read Neon recording {folder}: {error}") from error


class _Info(msgspec.Struct):
    data_format_version: str
    start_time: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]  # ns


def _read(folder: Path) -> NeonRecording:
    info = _info(folder / "info.json")
    parts = [_part(folder, name) for name in _names(folder)]
    time_ns, points, worn = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return NeonRecording(
        _first_frame(folder) or info.start_time,
        time_ns,
        points["x"],
        points["y"],
        worn > 0,
        _fixations(folder),
    )


def _info(path: Path) -> _Info:
    try:
        info = msgspec.json.decode(path.read_bytes(), type=_Info)
    except FileNotFoundError as error:
        raise DataError(f"{path.parent} is no Neon recording: it has no info.json") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not the info of a Neon recording: {error}") from error
    if info.data_format_version.partition(".")[0] != "2":
        raise DataError(
            f"{path.parent} has the format {info.data_format_version}; Neon's is 2: recordings of "
            "Invisible are not read, convert them to CSV"
        )
    return info


def _names(folder: Path) -> list[str]:
    """The stems of the files with gaze, in order."""
    if (folder / "gaze_200hz.raw").exists() and (folder / "gaze_200hz.time").exists():
        return ["gaze_200hz"]
    names = _parts(folder, "gaze")
    if not names:
        raise DataError(f"{folder} has no gaze: neither gaze_200hz.raw nor 'gaze ps1.raw'")
    return names


def _parts(folder: Path, stream: str) -> list[str]:
    """`gaze ps1`, `gaze ps2` ... `gaze ps10`: a new one each time that the glasses came back."""
    numbers = (path.stem.removeprefix(f"{stream} ps") for path in folder.glob(f"{stream} ps*.raw"))
    return [f"{stream} ps{n}" for n in sorted(int(n) for n in numbers if n.isdecimal())]


def _part(folder: Path, name: str) -> tuple[_Column, _Column, _Column]:
    """Times, points and worn, as many as there are of all."""
    times = _items(folder / f"{name}.time", _TIME)
    points = _items(folder / f"{name}.raw", _POINT)
    path = folder / f"{name.replace('gaze', 'worn', 1)}.raw"
    worn = _items(path, np.uint8) if path.exists() else np.ones(len(times), np.uint8)
    n = min(map(len, (times, points, worn)))
    return times[:n], points[:n], worn[:n]


def _items(path: Path, dtype: Any) -> _Column:
    """What follows the last whole item is left."""
    data, size = path.read_bytes(), np.dtype(dtype).itemsize
    return np.frombuffer(data[: len(data) // size * size], dtype)


def _first_frame(folder: Path) -> int | None:
    for path in sorted(folder.glob("Neon Scene Camera v1 ps*.time")):
        if len(times := _items(path, _TIME)):
            return int(times[0])
    return None


def _fixations(folder: Path) -> npt.NDArray[np.int64]:
    parts = [_items(folder / f"{name}.raw", _EVENT) for name in _parts(folder, "fixations")]
    events = np.concatenate([np.empty(0, _EVENT), *parts])
    fixations = events[events["event_type"] == _FIXATION]
    return np.stack([fixations["start_timestamp_ns"], fixations["end_timestamp_ns"]], axis=1)
