"""Reader of COCO-format annotation files (RLE or polygons), with pictures beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.geometry import visible
from glasses_sdk.types import Roi, Size

__all__ = ["Annotations", "Instance", "Photo", "load_annotations", "read_rgb"]

_JPEG, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: its box in picture pixels and its mask as COCO RLE of `area` pixels."""

    id: int
    photo: int
    box: Roi
    area: int
    rle: dict[str, Any]

    def mask(self) -> npt.NDArray[np.uint8]:
        """[H, W] uint8, 1 = object."""
        height, width = self.rle["size"]
        runs = _unpacked(self.rle["counts"])  # pycocotools' own decode warns under numpy 2
        values = (np.arange(runs.size) & 1).astype(np.uint8)
        return np.repeat(values, runs).reshape(width, height).T  # runs go down the columns


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture. `partial`: not every object in it is annotated."""

    path: Path
    size: Size
    source: str
    partial: bool


@dataclass(frozen=True, slots=True)
class Annotations:
    """A whole file: photos, and the instances on them (`Instance.photo` is an index).

    `bad` has a sentence on each object that was left out because it shows nothing or is damaged.
    """

    photos: list[Photo]
    instances: list[Instance]
    bad: list[str] = field(default_factory=list[str])


class _EmptyError(ValueError):
    """An object without a pixel in its picture."""


def load_annotations(path: Path, *, skip_bad: bool = False) -> Annotations:
    """Read an annotation file; pictures are found relative to it.

    Crowds are left out, and so is whatever has no pixel in its mask, however the field `area`
    reads; the smallest object counts. With `skip_bad` a damaged object is left out as well.
    Raises DataError with the file and the first thing wrong, ConfigError without the extra `eval`.
    """
    data = _json(path)
    try:
        photos = [_photo(entry, path.parent) for entry in data["images"]]
        index = {entry["id"]: n for n, entry in enumerate(data["images"])}
        return Annotations(photos, *_instances(data["annotations"], index, photos, skip_bad))
    except KeyError as error:
        raise DataError(f"{path} is not in COCO format: {error} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not in COCO format: {error}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read annotations {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a whole JSON file ({error}); fetch it again") from error


def _photo(entry: dict[str, Any], folder: Path) -> Photo:
    return Photo(
        path=folder / entry["file_name"],
        size=Size(entry["width"], entry["height"]),
        source=entry.get("source", "unnamed"),
        partial=bool(entry.get("partial", False)),
    )


def _instances(
    entries: list[dict[str, Any]], index: dict[int, int], photos: list[Photo], skip_bad: bool
) -> tuple[list[Instance], list[str]]:
    """Those that are whole, and a sentence on each of the others."""
    found: list[Instance] = []
    bad: list[str] = []
    for entry in entries:
        if not entry.get("iscrowd"):
            try:
                found.append(_instance(entry, index, photos))
            except ValueError as error:
                if not (skip_bad or isinstance(error, _EmptyError)):
                    raise
                bad.append(str(error))
    return found, bad


def _instance(entry: dict[str, Any], index: dict[int, int], photos: list[Photo]) -> Instance:
    """Raises ValueError, naming the annotation, for one that is wrong or empty."""
    name = entry["id"]
    try:
        photo = index[entry["image_id"]]
        size = photos[photo].size
        rle = _rle(entry["segmentation"], size)
        area = int(_coco().area(rle)) if rle else 0
        if rle and area:
            return Instance(name, photo, _box(entry["bbox"], size), area, rle)
    except KeyError as error:
        raise ValueError(f"annotation {name}: {error} is missing") from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"annotation {name}: {error}") from error
    raise _EmptyError(f"annotation {name}: its mask has no pixel in its picture")


def _box(numbers: list[float], size: Size) -> Roi:
    box = Roi(*numbers)
    if visible(box, size) is None:
        raise ValueError(f"{box} lies outside its picture of {size}")
    return box


def _rle(segmentation: Any, size: Size) -> dict[str, Any] | None:
    """Any of COCO's three forms (polygons, plain counts, packed counts) as packed counts."""
    shape = [size.height, size.width]
    if isinstance(segmentation, list):
        return _drawn(segmentation, shape)  # pyright: ignore[reportUnknownArgumentType]
    if list(segmentation["size"]) != shape:
        raise ValueError(f"a mask of {segmentation['size']} on a picture of {shape} (H, W)")
    counts = segmentation["counts"]
    plain = isinstance(counts, list)
    runs = np.asarray(counts, np.int64) if plain else _unpacked(counts)
    # pycocotools writes beyond its memory when the runs are longer than the picture.
    if runs.min(initial=0) < 0 or runs.sum() != size.height * size.width:
        raise ValueError(f"its run lengths do not add up to a picture of {size}")
    return _coco().frPyObjects(segmentation, *shape) if plain else segmentation


def _drawn(polygons: list[Any], shape: list[int]) -> dict[str, Any] | None:
    """Polygons of fewer than three corners have no area; None where no other is left."""
    whole = [[float(number) for number in one] for one in polygons if len(one) >= 6]
    return _coco().merge(_coco().frPyObjects(whole, *shape)) if whole else None


def _unpacked(counts: str | bytes) -> npt.NDArray[np.int64]:
    """The run lengths in COCO's packed form.

    A number is written in groups of five bits, least first, each as a character from "0" on; bit 5
    says that more follow, bit 4 of the last is the sign. From the fourth on, a number is the
    difference to the one before the last.
    """
    packed = counts.encode() if isinstance(counts, str) else counts
    codes = np.frombuffer(packed, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    if not last.size or last[-1] != codes.size - 1 or (last - first).max() > 6:
        return np.array([-1])
    place = 5 * (np.arange(codes.size) - np.repeat(first, last - first + 1))
    runs = np.add.reduceat((codes & 31) << place, first)
    runs -= np.where(codes[last] & 16, 1 << (place[last] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _coco() -> Any:
    """pycocotools' mask functions: a library without types, of the extra `eval`."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ConfigError(
            "annotations are read with pycocotools, which is not here: "
            "pip install 'glasses-sdk[eval]'"
        ) from error
    return mask


def read_rgb(photo: Photo) -> npt.NDArray[np.uint8]:
    """The picture, [H, W, 3] uint8 RGB.

    Raises DataError when it is missing, damaged or of another size.
    """
    picture = _decode(photo.path)
    height, width = picture.shape[:2]
    if Size(width, height) != photo.size:
        raise DataError(f"{photo.path} is {width}x{height}, its annotations say {photo.size}")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]


def _decode(path: Path) -> npt.NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read picture {path}: {error.strerror}") from error
    except ValueError as error:  # a name with a zero in it
        raise DataError(f"cannot read picture {str(path)!r}: {error}") from error
    # OpenCV fills the missing rest of a JPEG with grey and says nothing.
    cut_off = data.startswith(_JPEG) and data.rfind(_END) < data.rfind(_SCAN)
    if cut_off or not data:
        raise DataError(f"picture {path} is cut off after {len(data)} bytes; fetch it again")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise DataError(f"picture {path} is damaged, or no picture; fetch it again")
    return picture  # pyright: ignore[reportReturnType]
