"""The objects of an annotation file, one after the other, each with its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from glasses_sdk.annotations import Instance, Photo, load_annotations, read_rgb
from glasses_sdk.crop import Picture
from glasses_sdk.errors import DataError
from glasses_sdk.evaluation.settings import Bitmap
from glasses_sdk.types import Mask

__all__ = ["Case", "Progress", "Scene", "Scenes"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One object: its photo, what the photo shows (RGB), its mask in it, and who else is there."""

    instance: Instance
    photo: Photo
    picture: Picture
    mask: Bitmap
    others: list[Instance]


class Scenes:
    """What can be measured on; `bad` has a sentence on each object and picture that cannot be.

    path      an annotation file, whose pictures are found relative to it
    skip_bad  leave those out; otherwise they are refused
    least     objects of up to so many pixels are left out, in silence

    Raises DataError for a file that is missing, damaged or has no object left.
    """

    def __init__(self, path: Path, skip_bad: bool, least: int = 0) -> None:
        self._path, self._skip_bad = path, skip_bad
        self._data = load_annotations(path, skip_bad=True)
        self._there: dict[int, list[Instance]] = {}
        for instance in self._data.instances:
            self._there.setdefault(instance.photo, []).append(instance)
        photos = self._data.photos
        missing = {n for n in self._there if not photos[n].path.is_file()}
        self.bad = self._data.bad + [f"no picture {photos[n].path}" for n in sorted(missing)]
        if self.bad and not skip_bad:
            raise DataError(self._refusal())
        whole = [i for i in self._data.instances if i.photo not in missing]
        self._chosen = [instance for instance in whole if instance.area > least]
        if not self._chosen:
            raise DataError(self._nothing_left(least))

    def each(self, progress: Progress) -> Iterator[Scene]:
        """All objects of one picture, then those of the next; the pictures are read as they come.

        `progress(done, total)` counts objects. Raises DataError for a picture that is damaged, or
        where every one is and they are skipped.
        """
        done, shown = 0, 0
        in_order = sorted(self._chosen, key=_photo_of)
        for number, group in groupby(in_order, key=_photo_of):
            chosen = list(group)
            for count, scene in enumerate(self._of_photo(number, chosen), start=1):
                yield scene
                progress(done + count, len(in_order))
                shown += 1
            done += len(chosen)
        if not shown:
            raise DataError(f"{self._path} has no picture that can be read ({self.bad[-1]})")

    def _of_photo(self, number: int, chosen: list[Instance]) -> Iterator[Scene]:
        photo = self._data.photos[number]
        try:
            picture = read_rgb(photo)
        except DataError as error:
            if not self._skip_bad:
                raise
            self.bad.append(str(error))
            return
        for instance in chosen:
            others = [other for other in self._there[number] if other is not instance]
            yield Scene(instance, photo, picture, instance.mask(), others)

    def _refusal(self) -> str:
        more = f" and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
        return (
            f"{self._path}: {self.bad[0]}{more}; mend what is bad, or leave it out with --skip-bad"
        )

    def _nothing_left(self, least: int) -> str:
        above = f" of more than {least} pixels" if least else ""
        left = f" once {len(self.bad)} that are bad were left out" if self.bad else ""
        return f"{self._path} has no object{above} to measure on{left}"


def _photo_of(instance: Instance) -> int:
    return instance.photo


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One object and the mask that was made of it, kept to be looked at.

    click  column and row, where the protocol clicks
    """

    instance: Instance
    photo: Photo
    mask: Mask
    iou: float
    click: tuple[int, int] | None
