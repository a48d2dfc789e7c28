"""What another, larger network said of the same objects: something to learn from as well.

A teacher sees the whole picture. Its folder has, for each annotation file, a folder of that name
without the suffix, and in it for an object `ID.npz` with

    logits  [h, w] float, of the whole picture at any resolution, object where > 0
    score   how good the teacher thinks its mask is, 0 to 1

An object without a file is learnt from its annotation alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from glasses_sdk.crop import crop
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.types import Roi, Size

__all__ = ["Answer", "Teacher"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Of one region: logits [H, W] and score."""

    logits: npt.NDArray[np.float32]
    score: float

    @classmethod
    def none(cls, cells: Size) -> Answer:
        """That nothing was said."""
        return cls(np.zeros((cells.height, cells.width), np.float32), 0.0)


class Teacher:
    """The answers in one folder. Raises ConfigError where it is not there."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(f"the recipe's teacher has no folder {folder}; let it answer first")
        self._folder = folder

    def answer(self, file: Path, instance: int, picture: Size, region: Roi, cells: Size) -> Answer:
        """What it said of this object, in this region of the picture.

        file  the annotation file that the instance is from

        Raises DataError where it is damaged.
        """
        path = self._folder / file.stem / f"{instance}.npz"
        try:
            with path.open("rb") as opened, np.load(opened) as saved:
                logits, score = saved["logits"].astype(np.float32), float(saved["score"])
            whole = _resized(logits, picture)
        except FileNotFoundError:
            return Answer.none(cells)
        except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError, cv2.error) as error:
            raise DataError(f"the teacher's answer {path} is damaged: {error}") from error
        answer: Any = crop(whole, region, cells)
        return Answer(answer, score)


def _resized(logits: npt.NDArray[np.float32], size: Size) -> Any:
    """Any: `crop` says bytes, and takes floats as well."""
    return cv2.resize(logits, (size.width, size.height))
