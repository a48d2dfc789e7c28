"""How good a network is, by the published protocol and by ours, with onnxruntime alone.

Each annotated object's box is padded by 10 % of its width and height on each side. Protocol `box`
(PicoSAM3) makes that square about its middle, `tight` leaves it as it is. The region is clipped to
the picture and stretched to the network's own input, the mask likewise (nearest), and the
network's mask is compared with it there, cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from glasses_sdk.annotations import Annotations, Instance, load_annotations, read_rgb
from glasses_sdk.crop import Picture, crop
from glasses_sdk.errors import DataError
from glasses_sdk.geometry import padded, square
from glasses_sdk.network import Network
from glasses_sdk.types import Bits, Roi, Size

__all__ = ["Protocol", "Report", "Score", "evaluate", "iou", "measure", "region"]

Protocol = Literal["box", "tight"]
Progress = Callable[[int, int], None]
Predict = Callable[[Instance, Roi], Bits]

_PADDING = 0.1
_THRESHOLDS = np.arange(50, 100, 5) / 100  # .50 .55 … .95


@dataclass(frozen=True, slots=True)
class Score:
    """The result on `n` objects of one source, fractions of 1.

    miou  mean IoU; where neither mask has a cell it counts 1
    map   the share of objects with IoU >= t, averaged over t = .50 .55 … .95; objects without a
          cell in the region are left out; 0 where none is left
    """

    miou: float
    map: float
    n: int


@dataclass(frozen=True, slots=True)
class Report:
    """One network by one protocol: a score for each `source` of the pictures."""

    model: str
    protocol: Protocol
    sources: dict[str, Score]

    def to_json(self) -> dict[str, Any]:
        """`{model, protocol, sources: {name: {miou, map, n}}}`."""
        return asdict(self)


def evaluate(
    network: Network,
    annotations: Path,
    protocol: Protocol,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Measure a network on an annotation file, whose pictures are found relative to it.

    `progress(done, total)` counts objects. Raises DataError for a file or a picture that is
    missing or damaged, ConfigError without the extra `eval`.
    """
    data = load_annotations(annotations)
    if not data.instances:
        raise DataError(f"{annotations} has no object to measure on")
    scores = measure(data, protocol, network.input, _predictor(network, data), progress)
    return Report(network.name, protocol, scores)


def measure(
    data: Annotations,
    protocol: Protocol,
    cells: Size,
    predict: Predict,
    progress: Progress = lambda done, total: None,
) -> dict[str, Score]:
    """Score whatever can name the cells of an object in a region, by the source of its picture.

    `predict` gets the object and the region before it is clipped, and gives [H, W] bool of size
    `cells`; it is asked for all objects of one picture before those of the next.
    """
    rows: dict[str, list[tuple[float, bool]]] = {}
    in_order = sorted(data.instances, key=lambda instance: instance.photo)
    for done, instance in enumerate(in_order, start=1):
        asked = region(instance.box, protocol)
        target = crop(instance.mask(), asked, cells, nearest=True) > 0
        row = iou(predict(instance, asked), target), bool(target.any())
        rows.setdefault(data.photos[instance.photo].source, []).append(row)
        progress(done, len(data.instances))
    return {source: _score(each) for source, each in sorted(rows.items())}


def region(box: Roi, protocol: Protocol) -> Roi:
    """The region that an object is judged in; it may reach beyond the picture."""
    around = padded(box, _PADDING)
    return square(around) if protocol == "box" else around


def iou(one: Bits, other: Bits) -> float:
    """Cells in both over cells in either; 1 where there are none."""
    either = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / either if either else 1.0


def _predictor(network: Network, data: Annotations) -> Predict:
    """Each picture is decoded once, and one is held at a time."""
    held: dict[int, Picture] = {}

    def predict(instance: Instance, asked: Roi) -> Bits:
        if instance.photo not in held:
            held.clear()
            held[instance.photo] = read_rgb(data.photos[instance.photo])
        return network.segment(crop(held[instance.photo], asked, network.input)).bits

    return predict


def _score(rows: list[tuple[float, bool]]) -> Score:
    ious = np.array([overlap for overlap, _ in rows])
    there = ious[np.array([has_target for _, has_target in rows])]
    passed = there[:, None] >= _THRESHOLDS
    return Score(float(ious.mean()), float(passed.mean()) if there.size else 0.0, len(rows))
