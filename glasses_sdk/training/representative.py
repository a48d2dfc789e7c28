"""Representative data: the regions that say which values occur inside a network.

A quantizer chooses its scales by them. They are of the kinds that the network is trained on, and
never of the pictures that it is measured on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses_sdk.annotations import Annotations, Instance, load_annotations, read_rgb
from glasses_sdk.crop import Picture, crop
from glasses_sdk.errors import DataError
from glasses_sdk.geometry import visible
from glasses_sdk.training.regions import RegionMix, around_object
from glasses_sdk.types import Size

__all__ = ["LEAST", "representative"]

LEAST = 80
_KINDS = ("square", "tight", "look", "native")


def representative(annotations: Path, cells: Size, count: int, seed: int = 0) -> Picture:
    """`count` regions around objects of an annotation file: [count, H, W, 3] uint8 RGB.

    The same seed gives the same regions; no object comes twice before each has come once. Raises
    DataError for fewer than 80, for a file without objects, or a picture that cannot be read.
    """
    if count < LEAST:
        raise DataError(f"{count} regions represent nothing: take {LEAST} or more")
    data = load_annotations(annotations)
    if not data.instances:
        raise DataError(f"{annotations} has no object to take regions of")
    rng = np.random.default_rng(seed)
    rounds = -(-count // len(data.instances))
    shuffled = [rng.permutation(len(data.instances)) for _ in range(rounds)]
    order = [int(one) for one in np.concatenate(shuffled)]
    regions = [
        _region(data, data.instances[one], _KINDS[n % len(_KINDS)], cells, rng)
        for n, one in enumerate(order[:count])
    ]
    return np.stack(regions)


def _region(
    data: Annotations, instance: Instance, kind: str, cells: Size, rng: np.random.Generator
) -> Picture:
    photo = data.photos[instance.photo]
    roi = around_object(kind, instance.box, instance.mask(), RegionMix(), rng)
    seen = roi if visible(roi, photo.size) else instance.box
    return crop(read_rgb(photo), seen, cells)
