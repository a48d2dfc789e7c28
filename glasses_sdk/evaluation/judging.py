"""The protocols that look once: at a box, or around a click, and are judged in that region.

The region is cut at the picture's border and stretched to the network's own input, the object's
mask likewise (nearest), and the network's mask is compared with it there, cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from glasses_sdk.crop import Picture, crop
from glasses_sdk.errors import DataError
from glasses_sdk.evaluation.regions import at_click, competitors, misjudged, region
from glasses_sdk.evaluation.scenes import Case, Scene
from glasses_sdk.evaluation.scores import Row, boundary_f, iou
from glasses_sdk.evaluation.settings import Settings, seeded
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network, Segmentation
from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["Predict", "View", "case", "judge", "of_network", "views"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One look at one object.

    click   what was clicked, where the protocol clicks
    asked   the region before it is cut
    seen    the same, cut at the picture's border
    rgb     what it shows, stretched to the network's cells
    target  the object in these cells
    """

    scene: Scene
    seed: int
    click: tuple[int, int] | None
    asked: Roi
    seen: Roi
    rgb: Picture
    target: Bits


Predict = Callable[[View], Segmentation]


def views(scene: Scene, settings: Settings, cells: Size) -> Iterator[View]:
    """The looks at an object: one, or one a seed where the box is imprecise."""
    for seed in settings.seeds:
        click = None if settings.has_boxes else _click(scene, settings)
        asked = at_click(click, cells) if click else _boxed(scene, settings, seed)
        seen = visible(asked, scene.photo.size)
        if seen is None:
            raise DataError(f"annotation {scene.instance.id}: {asked} lies outside its picture")
        target = crop(scene.mask, asked, cells, nearest=True) > 0
        rgb = crop(scene.picture, asked, cells)
        yield View(scene, seed, click, asked, seen, rgb, target)


def _click(scene: Scene, settings: Settings) -> tuple[int, int]:
    return settings.clicking.on(scene.mask, scene.instance.id)


def _boxed(scene: Scene, settings: Settings, seed: int) -> Roi:
    box = scene.instance.box
    if settings.box_error:
        rng = seeded(seed, scene.instance.id)
        box = misjudged(box, settings.box_error, scene.photo.size, rng)
    return region(box, settings.protocol, settings.padding)


def of_network(network: Network) -> Predict:
    """What a network makes of the pixels alone."""
    return lambda view: network.segment(view.rgb)


def judge(view: View, predict: Predict) -> tuple[Row, Segmentation]:
    """Ask for the object's mask in the view, and compare it with the object."""
    start = perf_counter()
    found = predict(view)
    ms = (perf_counter() - start) * 1e3
    row = Row(
        iou=iou(found.bits, view.target),
        boundary_f=boundary_f(found.bits, view.target),
        score=found.score,
        ms=ms,
        area=view.scene.instance.area,
        competitors=competitors(view.asked, view.scene.others),
        there=bool(view.target.any()),
        seed=view.seed,
    )
    return row, found


def case(view: View, found: Segmentation, overlap: float) -> Case:
    """What was found, as a mask in the picture, to be looked at."""
    scene = view.scene
    mask = Mask(found.bits, view.seen, scene.photo.size, 0, 0, found.score)
    return Case(scene.instance, scene.photo, mask, overlap, view.click)
