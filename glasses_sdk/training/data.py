"""Training samples: regions cut from whole decoded pictures, as many and as varied as needed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glasses_sdk.annotations import Annotations, Instance, load_annotations, read_rgb
from glasses_sdk.crop import Picture, crop
from glasses_sdk.geometry import visible
from glasses_sdk.training.regions import RegionMix, around_background, around_object
from glasses_sdk.types import Roi, Size

__all__ = ["Batch", "Regions"]


@dataclass(frozen=True, slots=True)
class Batch:
    """rgb [N, 3, H, W] float 0..255, target [N, H, W] float, and which instance each is."""

    rgb: Tensor
    target: Tensor
    instances: list[int]


class Regions:
    """Draws training regions from annotated pictures that are held decoded in memory.

    `weights` gives each source its share of the samples; a source that is not named is left out.
    """

    def __init__(
        self,
        files: list[Path],
        weights: dict[str, float],
        mix: RegionMix,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        data = _merged([load_annotations(file) for file in files])
        self.mix = mix
        self.photos = data.photos
        self.instances = [i for i in data.instances if data.photos[i.photo].source in weights]
        self._by_photo: dict[int, list[Instance]] = {}
        for instance in self.instances:
            self._by_photo.setdefault(instance.photo, []).append(instance)
        self._chance = _chances([data.photos[i.photo].source for i in self.instances], weights)
        self._pictures: dict[int, Picture] = {}
        for done, photo in enumerate(self._by_photo):
            self._pictures[photo] = read_rgb(data.photos[photo])
            progress(done + 1, len(self._by_photo))

    def batches(self, size: int, cells: Callable[[int], int], seed: int) -> Iterator[Batch]:
        """Endless batches; `cells(step)` is the side of step's pictures. Seeded per step."""
        step = 0
        while True:
            yield self.batch(step, size, cells(step), seed)
            step += 1

    def batch(self, step: int, size: int, cells: int, seed: int) -> Batch:
        """The batch of this step, always the same one."""
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self.instances), size, p=self._chance)
        pairs = [self._sample(self.instances[n], Size(cells, cells), rng) for n in chosen]
        rgb = torch.from_numpy(np.stack([rgb for rgb, _ in pairs]))
        target = torch.from_numpy(np.stack([target for _, target in pairs]))
        return Batch(
            rgb.permute(0, 3, 1, 2).float(),  # a view in channels-last order
            target.float(),
            [self.instances[n].id for n in chosen],
        )

    def _sample(
        self, instance: Instance, cells: Size, rng: np.random.Generator
    ) -> tuple[Picture, Picture]:
        picture = self._pictures[instance.photo]
        kind = self.mix.kind(rng.random())
        if kind == "nothing" and (empty := self._background(instance, rng)):
            nothing = np.zeros((cells.height, cells.width), np.uint8)
            return crop(picture, empty, cells), nothing
        mask = instance.mask()
        kind = "look" if kind == "nothing" else kind
        region = around_object(kind, instance.box, mask, self.mix, rng)
        if visible(region, self.photos[instance.photo].size) is None:
            region = instance.box
        return crop(picture, region, cells), crop(mask, region, cells, nearest=True)

    def _background(self, instance: Instance, rng: np.random.Generator) -> Roi | None:
        photo = self.photos[instance.photo]
        if photo.partial:  # something that nobody annotated may be there
            return None
        masks = [other.mask() for other in self._by_photo[instance.photo]]
        region = around_background(reduce(np.bitwise_or, masks), (0.1, 0.8), rng)
        return region if region and visible(region, photo.size) else None


def _chances(sources: list[str], weights: dict[str, float]) -> np.ndarray:
    names, counts = np.unique(sources, return_counts=True)
    each = {
        str(name): weights[str(name)] / count for name, count in zip(names, counts, strict=True)
    }
    chance = np.array([each[source] for source in sources])
    return chance / chance.sum()


def _merged(parts: list[Annotations]) -> Annotations:
    photos = [photo for part in parts for photo in part.photos]
    instances: list[Instance] = []
    offset = 0
    for part in parts:
        instances += [
            Instance(i.id, i.photo + offset, i.box, i.area, i.rle) for i in part.instances
        ]
        offset += len(part.photos)
    return Annotations(photos, instances)
