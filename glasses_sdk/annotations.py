"""Reader of COCO-format annotation files (RLE or polygons), with pictures beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import DataError
from glasses_sdk.types import Roi, Size

__all__ = ["Annotations", "Instance", "Photo", "load_annotations", "read_rgb"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: its box in picture pixels and its mask as COCO RLE."""

    id: int
    photo: int
    box: Roi
    area: int
    rle: dict[str, Any]

    def mask(self) -> npt.NDArray[np.uint8]:
        """[H, W] uint8, 1 = object."""
        from pycocotools import mask as coco

        return coco.decode(self.rle)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture. `partial`: not every object in it is annotated."""

    path: Path
    size: Size
    source: str
    partial: bool


@dataclass(frozen=True, slots=True)
class Annotations:
    """A whole file: photos, and the instances on them (`Instance.photo` is an index)."""

    photos: list[Photo]
    instances: list[Instance]


def load_annotations(path: Path) -> Annotations:
    """Read an annotation file; pictures are found relative to it.

    Crowds and empty masks are left out. Raises DataError with the file and the first thing wrong.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read annotations {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not a whole JSON file ({error}); fetch it again") from error
    try:
        index = {entry["id"]: n for n, entry in enumerate(data["images"])}
        photos = [_photo(entry, path.parent) for entry in data["images"]]
        instances = [
            _instance(entry, index[entry["image_id"]], photos[index[entry["image_id"]]].size)
            for entry in data["annotations"]
            if not entry.get("iscrowd") and entry["area"] > 0
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not in COCO format: {error!r}") from error
    return Annotations(photos, instances)


def _photo(entry: dict[str, Any], folder: Path) -> Photo:
    return Photo(
        path=folder / entry["file_name"],
        size=Size(entry["width"], entry["height"]),
        source=entry.get("source", "unnamed"),
        partial=bool(entry.get("partial", False)),
    )


def _instance(entry: dict[str, Any], photo: int, size: Size) -> Instance:
    return Instance(
        id=entry["id"],
        photo=photo,
        box=Roi(*entry["bbox"]),
        area=int(entry["area"]),
        rle=_rle(entry["segmentation"], size),
    )


def _rle(segmentation: Any, size: Size) -> dict[str, Any]:
    """Any of COCO's three forms (polygons, plain counts, packed counts) as packed counts."""
    from pycocotools import mask as coco

    if isinstance(segmentation, list):
        return coco.merge(coco.frPyObjects(segmentation, size.height, size.width))  # pyright: ignore
    if isinstance(segmentation["counts"], list):
        return coco.frPyObjects(segmentation, size.height, size.width)  # pyright: ignore
    return segmentation


def read_rgb(photo: Photo) -> npt.NDArray[np.uint8]:
    """The picture, [H, W, 3] uint8 RGB. Raises DataError when it is missing or of another size."""
    picture = cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"cannot read picture {photo.path}: missing or damaged")
    height, width = picture.shape[:2]
    if (width, height) != (photo.size.width, photo.size.height):
        raise DataError(f"{photo.path} is {width}x{height}, its annotations say {photo.size}")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]
