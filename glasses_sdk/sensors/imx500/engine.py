"""Frames to masks: each with its region, its time and its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasses_sdk.sensors.imx500.attribution import Attribution, Cadence
from glasses_sdk.sensors.imx500.camera import Camera, Frame
from glasses_sdk.sensors.imx500.rest import Rest, is_elsewhere, jumps
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.imx500.tensors import Found, check, parse
from glasses_sdk.sensors.pi import asleep_ns, exposure_ns, monotonic
from glasses_sdk.types import Bits, Roi, RoiState

__all__ = ["Due", "Engine", "Seen"]


@dataclass(frozen=True, slots=True)
class Due:
    """When an aim counts: set before `by_ns`, it is seen by a picture taken `ahead_ns` later.

    The next chance comes `period_ns` after.
    """

    by_ns: int
    ahead_ns: int
    period_ns: int

    def exposure_ns(self, now_ns: int) -> int:
        """The middle of the exposure of the first picture that an aim made now can reach."""
        late = max(-((self.by_ns - now_ns) // self.period_ns), 0)
        return self.by_ns + late * self.period_ns + self.ahead_ns


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one frame showed.

    roi        in whole pixels inside the sensor
    elsewhere  it is settling, and in another place than the aim is by now
    kpi        dnn, dsp in ms
    """

    number: int
    time_ns: int
    bits: Bits
    score: float
    roi: Roi
    state: RoiState
    elsewhere: bool
    kpi: tuple[float, float] | None


class Engine:
    """Aims the camera and says what its frames show. `clock` says the monotonic time in ns."""

    def __init__(self, camera: Camera, spec: Imx500Spec, clock: Callable[[], int]) -> None:
        self._camera = camera
        self._spec = spec
        self._clock = clock
        whole = camera.chip.whole
        self._cadence = Cadence(spec.period_ns)
        self._regions = Attribution(whole, spec.probable_frames, spec.most_frames)
        self._regions.moved(whole, -1, -1)  # as it was started
        self._moved_in, self._moved_ns = -1, 0  # in which frame and when the region was set last
        self._wanted: Roi | None = None
        self._cost = spec.most_frames + 1  # frames of a move, the one that is being read out too
        self._rest = Rest(self._cost)
        self._exposure_ns = 0
        self._checked = False
        self._empty = np.zeros((camera.chip.least.height, camera.chip.least.width), np.bool_)

    def aim(self, roi: Roi | None) -> None:
        """Look there; None: nobody looks. Raises DeviceError when the driver refuses."""
        self._wanted = self._camera.chip.fit(roi) if roi else None
        if roi and self._wanted:
            self._rest.note(roi, self._clock())
        self._move()

    def _move(self) -> None:
        """At most once a frame, only where the region that is set does no more, and where what is
        wanted is nearby not before there have been as many certain masks as the last move cost.
        """
        wanted, there = self._wanted, self._regions.newest
        if wanted is None or self._rest.holds(there, wanted):
            return
        now_ns = self._clock()
        rested = self._cadence.begun(now_ns) - self._moved_in
        if now_ns - self._moved_ns < self._cadence.period_ns // 2:
            rested = 0  # a new frame's time has corrected the numbers, not begun another
        if rested < (1 if self._rest.hurries(there, wanted) else 2 * self._cost):
            return
        region = self._camera.chip.fit(self._rest.ahead()) or wanted
        self._camera.move(region)
        self._moved_ns = self._clock()
        self._moved_in = self._cadence.begun(self._moved_ns)
        before = self._cadence.surely_begun(now_ns)
        self._regions.moved(region, self._moved_in, before, tried=jumps(there, wanted))

    def see(self, frame: Frame) -> Seen | None:
        """What a frame showed; None without a result, or with one that is not to be trusted.

        Raises ModelError for the tensors of another network.
        """
        seen = self._see(frame)
        self._move()  # what was held back until this frame
        return seen

    def _see(self, frame: Frame) -> Seen | None:
        if not frame.tensors:
            return None
        if not self._checked:
            check(frame.shapes, self._camera.chip.least)
            self._checked = True
        found = parse(frame.tensors, self._camera.chip.least)
        number = self._number(frame)
        if number is None or found is None:
            return None
        self._exposure_ns = exposure_ns(frame.exposure_us)
        region, certain = self._regions.shown(number)
        middle_ns = self._cadence.starts_ns(number) - self._exposure_ns // 2
        if self._wanted is None:
            found = Found(self._empty, 0.0)
        if certain:
            return Seen(number, middle_ns, *found, region, "stable", False, frame.kpi)
        elsewhere = self._wanted is not None and is_elsewhere(region, self._wanted)
        return Seen(number, middle_ns, *found, region, "settling", elsewhere, frame.kpi)

    def _number(self, frame: Frame) -> int | None:
        """Which frame it is; None where that cannot be told."""
        now_ns = self._clock()
        time_ns = monotonic(frame.sensor_ns, now_ns, asleep_ns())
        if time_ns is None:
            return self._cadence.counted(frame.count, now_ns)
        number = self._cadence.number(time_ns, frame.count)
        if self._cadence.corrected:
            self._moved_in = self._cadence.begun(now_ns)
            self._regions.lost(self._moved_in)
        return number

    def due(self) -> Due:
        """When an aim counts next."""
        period_ns = self._cadence.period_ns
        now_ns = self._clock()
        frame = max(self._cadence.begun(now_ns), self._moved_in) + 1
        try:
            by_ns = self._cadence.starts_ns(frame)
        except ValueError:  # nothing has come yet
            by_ns = now_ns + period_ns
        lag_ns = self._spec.probable_frames * period_ns
        return Due(by_ns, lag_ns - self._exposure_ns // 2, period_ns)
