"""Reader of a tracking file: videos as pictures, with the object's true mask in each frame.

    {"fps": 24, "size": [512, 288], "sequences": {"dog": [{"file_name": "dog/0.jpg",
     "segmentation": {"size": [288, 512], "counts": "..."}, "bbox": [91, 7, 216, 176]}, ...]}}

Masks are COCO's packed run lengths; pictures are found relative to the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from glasses_sdk.annotations import Instance, Photo, read_rgb
from glasses_sdk.crop import Picture
from glasses_sdk.errors import DataError
from glasses_sdk.geometry import mask_box
from glasses_sdk.types import Bits, Roi, Size

__all__ = ["Clip", "Video", "load_videos"]

_SECOND_NS = 1_000_000_000
_RATES_HZ = 0.1, 1000.0


class _Segmentation(msgspec.Struct):
    size: tuple[int, int]
    counts: str


class _Frame(msgspec.Struct):
    file_name: str
    segmentation: _Segmentation


class _File(msgspec.Struct):
    fps: float
    size: tuple[int, int]
    sequences: dict[str, list[_Frame]]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A video in memory.

    pictures  of each frame, RGB
    truths    the object's mask in each frame; empty where it is out of sight
    boxes     the boxes of these masks
    """

    pictures: list[Picture]
    truths: list[Bits]
    boxes: list[Roi | None]


@dataclass(frozen=True, slots=True)
class Video:
    """One object's video on the disk: a picture and a packed mask for each frame."""

    name: str
    fps: float
    size: Size
    files: list[Path]
    masks: list[str]

    def times_ns(self) -> list[int]:
        """When each frame is exposed; the first a second after zero."""
        return [_SECOND_NS + round(k * _SECOND_NS / self.fps) for k in range(len(self.files))]

    def load(self) -> Clip:
        """Raises DataError for a picture or a mask that is missing or damaged."""
        truths = [self._truth(k) for k in range(len(self.files))]
        whole = Roi(0, 0, self.size.width, self.size.height)
        boxes = [mask_box(truth, whole) for truth in truths]
        if boxes[0] is None:
            raise DataError(f"video {self.name} shows no object in its first frame: nobody looks")
        return Clip([self.picture(k) for k in range(len(self.files))], truths, boxes)

    def picture(self, frame: int) -> Picture:
        return read_rgb(Photo(self.files[frame], self.size, self.name, partial=False))

    def _truth(self, frame: int) -> Bits:
        rle = {"size": [self.size.height, self.size.width], "counts": self.masks[frame]}
        whole = Roi(0, 0, self.size.width, self.size.height)
        try:
            mask = Instance(frame, frame, whole, 0, rle).mask()
        except (MemoryError, ValueError) as error:
            raise DataError(
                f"video {self.name}, frame {frame}: its run lengths do not add up to {self.size}"
            ) from error
        return mask.astype(np.bool_)


def load_videos(path: Path) -> list[Video]:
    """Raises DataError with the file and the first thing wrong."""
    try:
        data = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise DataError(f"cannot read tracking videos {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no file of tracking videos: {error}") from error
    if not (min(data.size) > 0 and data.sequences):
        raise DataError(f"{path} has no video, or a size that is not above 0")
    if not _RATES_HZ[0] <= data.fps <= _RATES_HZ[1]:
        low, high = _RATES_HZ
        raise DataError(f"{path}: fps lies in {low:g} to {high:g}, not {data.fps:g}")
    return [_video(path, data, name) for name in data.sequences]


def _video(path: Path, data: _File, name: str) -> Video:
    frames, size = data.sequences[name], Size(*data.size)
    if not frames:
        raise DataError(f"{path}: video {name} has no frame")
    for number, frame in enumerate(frames):
        if frame.segmentation.size != (size.height, size.width):
            raise DataError(
                f"{path}: video {name}, frame {number}: a mask of {frame.segmentation.size} "
                f"(H, W) on a picture of {size}"
            )
    files = [path.parent / frame.file_name for frame in frames]
    return Video(name, data.fps, size, files, [frame.segmentation.counts for frame in frames])
