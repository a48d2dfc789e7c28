"""Training samples: regions cut from whole decoded pictures, as many and as varied as needed.

The pictures stay decoded in memory, three bytes a pixel, and regions are cut from them at full
resolution. Worker processes share that memory.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from glasses_sdk.annotations import Instance, Photo, load_annotations, read_rgb
from glasses_sdk.crop import Picture, crop
from glasses_sdk.errors import ConfigError, DataError
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network
from glasses_sdk.training.collage import PIECES, Piece, lay
from glasses_sdk.training.ranks import Rank
from glasses_sdk.training.recipe import DataRecipe, Schedule
from glasses_sdk.training.regions import around_background, around_object, led
from glasses_sdk.training.teacher import Answer, Teacher
from glasses_sdk.types import Roi, Size

__all__ = ["Batch", "Lesson", "Regions"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a teacher said of a batch; a score of 0 is that it said nothing."""

    logits: Float[Tensor, "n h w"]
    score: Float[Tensor, " n"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Regions, and what is to be learnt of them.

    rgb        0..255; bytes as they are cut, floats where they are trained on
    target     1 = object
    instances  which each is
    lesson     where there is a teacher
    made       which are of collages, not of photographs
    """

    rgb: Real[Tensor, "n 3 h w"]
    target: Real[Tensor, "n h w"]
    instances: list[int]
    lesson: Lesson | None = None
    made: Bool[Tensor, " n"] | None = None

    def on(self, device: torch.device) -> Batch:
        """The same in floats, on this device."""
        rgb, target = (part.to(device).float() for part in (self.rgb, self.target))
        said = self.lesson
        lesson = Lesson(said.logits.to(device), said.score.to(device)) if said else None
        return replace(self, rgb=rgb, target=target, lesson=lesson)


@dataclass(frozen=True, slots=True, eq=False)
class _Object:
    """An instance, its photo, and the annotation file that they are from."""

    instance: Instance
    photo: Photo
    file: Path


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    rgb: Picture
    target: Picture
    instance: int
    answer: Answer | None
    made: bool = False


class Regions:
    """Draws training regions from annotated pictures that are held decoded in memory.

    folder    what the recipe's files are relative to
    leader    the network whose masks lead to regions, where the recipe asks for such
    skip_bad  leave out objects and pictures that are damaged or missing; `bad` has a sentence on
              each. Otherwise DataError is raised, with the first and how many more there are

    Raises ConfigError for a source that no picture has.
    """

    def __init__(
        self,
        folder: Path,
        recipe: DataRecipe,
        progress: Progress = lambda done, total: None,
        *,
        leader: Path | None = None,
        skip_bad: bool = False,
    ) -> None:
        cv2.setNumThreads(1)  # OpenCV's own pool of threads does not survive into a worker
        self._collage, self._squeeze, self._leader = recipe.collage, recipe.squeeze, leader
        self._mix, self._skip_bad = recipe.regions, skip_bad
        self._teacher = Teacher(folder / recipe.teacher) if recipe.teacher else None
        self.bad: list[str] = []
        objects = self._load([folder / name for name in recipe.files], recipe.weights)
        self._pictures = self._read({one.photo.path: one.photo for one in objects}, progress)
        self._objects = [one for one in objects if one.photo.path in self._pictures]
        self._upto = np.cumsum(_chances(self._objects, recipe.weights))
        self._there: dict[Path, list[Instance]] = {}
        for one in self._objects:
            self._there.setdefault(one.photo.path, []).append(one.instance)

    def batches(self, steps: range, plan: Schedule, rank: Rank) -> Iterator[Batch]:
        """This rank's share of the batches of these steps, cut by its workers."""
        ahead: dict[str, Any] = {"prefetch_factor": 4, "multiprocessing_context": "fork"}
        yield from DataLoader(
            _Steps(self, plan, rank),
            batch_size=None,
            sampler=steps,
            num_workers=rank.workers,
            **(ahead if rank.workers else {}),
        )

    def batch(self, step: int, plan: Schedule, rank: Rank) -> Batch:
        """This rank's share of the batch of this step, always the same one."""
        cells = Size(plan.side(step), plan.side(step))
        samples = [
            self._sample(cells, np.random.default_rng((plan.seed, step, n)))
            for n in range(rank.number, plan.batch, rank.count)
        ]
        rgb = np.stack([one.rgb for one in samples])
        return Batch(
            torch.from_numpy(rgb).permute(0, 3, 1, 2),  # a view in channels-last order
            torch.from_numpy(np.stack([one.target for one in samples])),
            [one.instance for one in samples],
            _lesson([one.answer for one in samples if one.answer]),
            torch.tensor([one.made for one in samples]),
        )

    def _sample(self, cells: Size, rng: np.random.Generator) -> _Sample:
        one = self._any(rng)
        picture, instance = self._pictures[one.photo.path], one.instance
        collage = self._collage and rng.random() < self._collage
        if collage and (sample := self._laid(picture, cells, rng)):
            return sample
        kind = self._mix.kind(rng.random())
        if kind == "nothing":
            if empty := self._background(one, rng):
                nothing = np.zeros((cells.height, cells.width), np.uint8)
                answer = Answer.none(cells) if self._teacher else None
                return _Sample(crop(picture, empty, cells), nothing, instance.id, answer)
            kind = "look"
        mask = instance.mask()
        if kind == "led":
            region = led(picture, mask, instance.box, self._network, rng, self._mix.first_looks)
        else:
            region = around_object(kind, instance.box, mask, self._mix, rng)
        if visible(region, one.photo.size) is None:
            region = instance.box
        answer = (
            self._teacher.answer(one.file, instance.id, one.photo.size, region, cells)
            if self._teacher
            else None
        )
        target = crop(mask, region, cells, nearest=True)
        return _Sample(crop(picture, region, cells), target, instance.id, answer)

    def _any(self, rng: np.random.Generator) -> _Object:
        return self._objects[int(np.searchsorted(self._upto, rng.random() * self._upto[-1]))]

    def _laid(self, background: Picture, cells: Size, rng: np.random.Generator) -> _Sample | None:
        """One of some objects that are laid over a picture; None where none of them is seen."""
        objects = [self._any(rng) for _ in range(int(rng.integers(PIECES[0], PIECES[1] + 1)))]
        pieces = [
            Piece(self._pictures[one.photo.path], one.instance.mask(), one.instance.box)
            for one in objects
        ]
        collage = lay(background, pieces, rng, self._squeeze)
        if collage is None:
            return None
        picture, mask, box = collage.picture, collage.mask, collage.box
        region = led(picture, mask, box, self._network, rng, self._mix.first_looks)
        answer = Answer.none(cells) if self._teacher else None
        target = crop(mask, region, cells, nearest=True)
        return _Sample(
            crop(picture, region, cells),
            target,
            objects[collage.meant].instance.id,
            answer,
            made=True,
        )

    @cached_property
    def _network(self) -> Network:
        """Loaded by the process that asks: what onnxruntime keeps does not survive a fork."""
        if self._leader is None:
            raise ConfigError("regions that a network leads to need a network: a recipe's start")
        return Network(self._leader)

    def _background(self, one: _Object, rng: np.random.Generator) -> Roi | None:
        if one.photo.partial:  # something that nobody annotated may be there
            return None
        masks = [other.mask() for other in self._there[one.photo.path]]
        region = around_background(reduce(np.bitwise_or, masks), (0.1, 0.8), rng)
        return region if region and visible(region, one.photo.size) else None

    def _load(self, files: list[Path], weights: dict[str, float]) -> list[_Object]:
        """The objects of the sources that are weighed, in pictures that are there."""
        objects: list[_Object] = []
        for file in files:
            data = load_annotations(file, skip_bad=True)
            self.bad += [f"{file}: {sentence}" for sentence in data.bad]
            objects += [_Object(i, data.photos[i.photo], file) for i in data.instances]
        objects = [one for one in objects if one.photo.source in weights]
        paths = {one.photo.path for one in objects}
        missing = {path for path in paths if not path.is_file()}
        self.bad += [f"no picture {path}" for path in sorted(missing)]
        self._refuse()
        return [one for one in objects if one.photo.path not in missing]

    def _read(self, photos: dict[Path, Photo], progress: Progress) -> dict[Path, Picture]:
        def read(photo: Photo) -> Picture | DataError:
            try:
                return read_rgb(photo)
            except DataError as error:
                return error

        pictures: dict[Path, Picture] = {}
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for done, (path, got) in enumerate(
                zip(photos, threads.map(read, photos.values()), strict=True), start=1
            ):
                if isinstance(got, DataError):
                    self.bad.append(str(got))
                else:
                    pictures[path] = got
                progress(done, len(photos))
        self._refuse()
        return pictures

    def _refuse(self) -> None:
        if self.bad and not self._skip_bad:
            more = f" and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            raise DataError(
                f"{self.bad[0]}{more}; mend what is bad, or leave it out with --skip-bad"
            )


class _Steps(Dataset[Batch]):
    """Each step's batch, as what DataLoader asks its workers for."""

    def __init__(self, regions: Regions, plan: Schedule, rank: Rank) -> None:
        self._of = regions, plan, rank

    def __getitem__(self, step: int) -> Batch:
        regions, plan, rank = self._of
        return regions.batch(step, plan, rank)


def _lesson(answers: list[Answer]) -> Lesson | None:
    if not answers:
        return None
    logits = np.stack([answer.logits for answer in answers])
    scores = np.array([answer.score for answer in answers], np.float32)
    return Lesson(torch.from_numpy(logits), torch.from_numpy(scores))


def _chances(objects: list[_Object], weights: dict[str, float]) -> npt.NDArray[np.float64]:
    """Of each object, so that each source has its share."""
    sources = [one.photo.source for one in objects]
    names, counts = np.unique(sources, return_counts=True)
    if absent := sorted(weights.keys() - set(names.tolist())):
        there = ", ".join(names) or "none that is weighed"
        raise ConfigError(f"no object to train on is of the source {absent[0]}; there: {there}")
    each = {str(name): weights[name] / count for name, count in zip(names, counts, strict=True)}
    return np.array([each[source] for source in sources])
