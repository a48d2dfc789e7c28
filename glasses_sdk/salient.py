"""What is there to see, when nobody's gaze is known: the network's own masks say it.

The whole sensor first. What the network sees there is zoomed onto in steps, for a region that shows
much more than a thing hardly shows its outline; once the region fits what is in it, that is the
object. Where nothing is, or nothing fits, somewhere else is looked at: the middle, the quarters.
"""

from __future__ import annotations

from glasses_sdk.geometry import alike, padded, visible
from glasses_sdk.sighting import Sighting, sight
from glasses_sdk.types import Mask, Roi, Size

__all__ = ["Search"]

_FITS = 0.6  # IoU of a region with what is to be shown around the object in it
_STEP = 0.5  # a region's side shrinks to no less at once
_STEPS = 6
_FILLS = 0.9  # of a region's cells: that is the ground, not a thing


class Search:
    """Regions to look at, one a mask, until one shows an object.

    padding    what a region shows around an object, a share of its box on each side
    min_score  masks below it show nothing
    """

    def __init__(self, sensor: Size, padding: float, min_score: float) -> None:
        self._padding = padding
        self._min_score = min_score
        width, height = float(sensor.width), float(sensor.height)
        self._sensor = sensor
        self._places = [Roi(0, 0, width, height), Roi(width / 4, height / 4, width / 2, height / 2)]
        self._places += [
            Roi(x, y, width / 2, height / 2) for y in (0.0, height / 2) for x in (0.0, width / 2)
        ]
        self._place = self._steps = 0
        self.region = self._places[0]

    def see(self, mask: Mask) -> Roi | None:
        """The box of an object that has been found; else `region` is where to look next.

        A mask of another region than that does not count.
        """
        if alike(mask.roi, self.region) < _FITS:
            return None
        seen = sight(mask, mask.roi.centre)
        if seen is None or mask.score < self._min_score or seen.mask.bits.mean() > _FILLS:
            self.elsewhere()
            return None
        around = visible(padded(seen.whole, self._padding), self._sensor)
        if around is None or alike(around, mask.roi) >= _FITS:
            return self._found(seen)
        self._zoom(around)
        return None

    def elsewhere(self) -> None:
        """There is nothing here, or not any more."""
        self._place = (self._place + 1) % len(self._places)
        self._steps = 0
        self.region = self._places[self._place]

    def _found(self, seen: Sighting) -> Roi:
        self._steps = 0
        return seen.whole

    def _zoom(self, around: Roi) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            self.elsewhere()
            return
        width = max(around.width, _STEP * self.region.width)
        height = max(around.height, _STEP * self.region.height)
        self.region = visible(Roi.around(*around.centre, width, height), self._sensor) or around
