"""Measures how many frames late a region takes effect: the sensor's metadata does not tell.

The region jumps between two places whose masks differ. After each jump, the frame whose mask looks
like the new place's rather than the old one's is the first that shows it. What a place's masks look
like is learnt from the frames just before each jump, when the region has long been at rest.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from glasses_sdk.errors import DeviceError
from glasses_sdk.sensors.imx500.attribution import Cadence
from glasses_sdk.sensors.imx500.camera import Camera
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.imx500.tensors import check, parse
from glasses_sdk.sensors.pi import asleep_ns, monotonic
from glasses_sdk.types import Roi

__all__ = ["Latency", "measure", "wait_for"]

Picture = npt.NDArray[np.float32]

_REST = 16  # frames between two jumps
_LONGEST = _REST // 2  # lag that leaves masks enough to know a place by
_DIFFERENT = 0.01  # of the cells, by which the two places' masks must differ at least
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Latency:
    """frames: from a move to the first frame that shows it, beyond the next one: the median
    jitter: how many more it took at most; lags: one for each jump that could be told
    """

    frames: int
    jitter: int
    lags: tuple[int, ...]


@dataclass(slots=True)
class _Jump:
    """One: the newest frame begun then, and the masks by number of frames after it."""

    frame: int
    before: Picture
    masks: dict[int, Picture] = field(default_factory=dict[int, Picture])


def wait_for(camera: Camera) -> None:
    """Until a frame is there. Raises DeviceError when none comes."""
    if not select.select([camera], [], [], _WAIT_SECONDS)[0]:
        raise DeviceError(f"the camera sends no frames: none within {_WAIT_SECONDS:.0f} s")


def measure(
    camera: Camera,
    spec: Imx500Spec,
    clock: Callable[[], int],
    jumps: int = 20,
    wait: Callable[[Camera], None] = wait_for,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Latency:
    """Point the started camera at something with objects, and let neither move meanwhile.

    Raises DeviceError where the two places look alike, ModelError for another network's tensors.
    """
    masks = _Masks(camera, spec, clock, wait)
    places = _places(camera)
    camera.move(places[0])
    masks.take(2 * _REST)
    found: list[_Jump] = []
    for number in range(1, jumps + 1):
        before = masks.take(_REST // 2)
        camera.move(places[number % 2])
        jump = _Jump(masks.begun(), np.mean(list(before.values()), axis=0))
        jump.masks = {frame - jump.frame: mask for frame, mask in masks.take(_REST).items()}
        found.append(jump)
        progress(number, jumps)
    return _latency(found)


class _Masks:
    """The camera's masks, numbered."""

    def __init__(
        self,
        camera: Camera,
        spec: Imx500Spec,
        clock: Callable[[], int],
        wait: Callable[[Camera], None],
    ) -> None:
        self._camera = camera
        self._clock = clock
        self._wait = wait
        self._cadence = Cadence(spec.period_ns)

    def begun(self) -> int:
        """The newest frame that has begun."""
        return self._cadence.begun(self._clock())

    def take(self, frames: int) -> dict[int, Picture]:
        """The masks of the next frames, by number; a few may be missing."""
        found: dict[int, Picture] = {}
        for _ in range(4 * frames):
            self._wait(self._camera)
            for frame in self._camera.take():
                if not frame.tensors:
                    continue
                check(frame.shapes, self._camera.chip.least)
                seen = parse(frame.tensors, self._camera.chip.least)
                time_ns = monotonic(frame.sensor_ns, self._clock(), asleep_ns())
                number = None if time_ns is None else self._cadence.number(time_ns, frame.count)
                if seen and number is not None:
                    found[number] = seen.bits.astype(np.float32)
            if len(found) >= frames:
                return found
        raise DeviceError(f"only {len(found)} of {4 * frames} frames came with a mask")


def _places(camera: Camera) -> tuple[Roi, Roi]:
    """The left and the right half of the sensor."""
    size = camera.chip.size
    half = size.width / 2
    halves = Roi(0, 0, half, size.height), Roi(half, 0, half, size.height)
    left, right = (camera.chip.fit(one) for one in halves)
    assert left
    assert right
    return left, right


def _latency(jumps: list[_Jump]) -> Latency:
    lags = tuple(lag for old, new in _pairs(jumps) if (lag := _lag(old, new)) is not None)
    if late := sum(lag > _LONGEST for lag in lags):
        raise DeviceError(
            f"{late} of {len(lags)} jumps took more than {_LONGEST} frames to take effect, longer "
            "than can be told: end what else keeps this computer busy, and measure again"
        )
    if len(lags) < max(len(jumps) // 2, 1):
        raise DeviceError(
            "both halves of the picture give like masks: point the camera at objects that differ "
            "left and right, in good light, and let nothing move"
        )
    median = int(np.median(lags))
    return Latency(median, max(lags) - median, lags)


def _pairs(jumps: list[_Jump]) -> list[tuple[_Jump, Picture]]:
    """Each jump with what the place that it went to looks like, by the next jump's beginning."""
    return [(jump, following.before) for jump, following in pairwise(jumps)]


def _lag(jump: _Jump, new: Picture) -> int | None:
    """Frames between the jump and the first frame that looks like the new place.

    None where nobody can tell: like masks, or the frame before that one is lost.
    """
    if np.abs(jump.before - new).mean() < _DIFFERENT:
        return None
    shows = [
        after
        for after, mask in jump.masks.items()
        if np.abs(mask - new).mean() < np.abs(mask - jump.before).mean()
    ]
    first = min(shows, default=None)
    if first is None or first < 1:
        return None
    if first > 1 and first - 1 not in jump.masks:
        return None
    return first - 1
