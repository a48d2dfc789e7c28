"""The loop: looks in, masks out. One thread, no queues, one place where it sleeps."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from glasses_sdk.backends import (
    field_of_view,
    gaze_clock,
    open_gaze,
    open_gaze_map,
    open_sensor,
    resolve_gaze,
)
from glasses_sdk.config import Config
from glasses_sdk.errors import RecordingEnded
from glasses_sdk.gaze.attention import Attention
from glasses_sdk.gaze.guard import Guard
from glasses_sdk.gaze.head import Head
from glasses_sdk.gaze.inlet import Inlet
from glasses_sdk.gaze.poses import Poses
from glasses_sdk.gaze_map import GazeMap
from glasses_sdk.protocols import HeadSource, Health, SensorInfo
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.transport import Addresses, GazeState, MaskPublisher
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi
from glasses_sdk.wire import GazeMapCard

__all__ = ["Pipeline"]

_TICK_MS = 100.0
_AHEAD_MS = 2.0  # the region is aimed anew this long before the shutter opens
_JOIN_MS = 1000.0  # whoever waits for the stream has then connected, and misses no frame
_STALE_MS = 500.0
_LOST_MS = 3000.0
_STALLED_S = 1.0  # or ten frame times, where that is longer


class Pipeline:
    """Sensor, gaze and tracker in one loop, embedded or published.

    `with Pipeline(config) as glasses: for mask in glasses: ...` gives each mask as it comes;
    `publish=True` also binds the stream, so that other programs see the same masks and can aim.
    Raises ConfigError, ModelError, DeviceError or StreamError while opening, and DeviceLost from
    the loop when the camera goes; the end of a recording just ends the loop.
    """

    def __init__(self, config: Config | None = None, *, publish: bool = False) -> None:
        self._config = config or Config()
        self._publish = publish
        self._open = ExitStack()

    def __enter__(self) -> Self:
        config = self._config
        with ExitStack() as stack:
            self._sensor = stack.enter_context(open_sensor(config.sensor))
            self._gaze_map = open_gaze_map(config.gaze, self.info.size)
            self._gaze = stack.enter_context(
                open_gaze(config.gaze, self._sensor, config.sensor, config.events.max_age_ms)
            )
            self._clock = gaze_clock(self._sensor, config.sensor)
            view = field_of_view(config.gaze, config.sensor, self.info.size)
            self._attention = Attention(self._gaze_map, self.info.size, view, config.events)
            self._pushed = Poses(self._clock)  # of the head, by other programs
            self._refused = Guard(self._clock, eyes=False)  # what they push that is no input
            camera_deg = config.sensor.field_of_view_deg
            self._tracker = RoiTracker(
                self.info.size, config.tracker, camera_deg, salient=self.gaze_source == "none"
            )
            self._has_poses = False  # the glasses have told how the head turns
            self._seen: Gaze | None = None  # the newest sample
            self._mask_s, self._period_s = time.monotonic(), 0.0  # when the newest mask came
            self._publisher: MaskPublisher | None = None
            if self._publish:
                publisher = MaskPublisher(config.stream, self.info, self)
                self._publisher = stack.enter_context(publisher)
                publisher.calibrate(_card(self._gaze_map))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    @property
    def info(self) -> SensorInfo:
        """What the sensor is."""
        return self._sensor.info

    @property
    def gaze_source(self) -> str:
        """Where looks come from: what `auto` stands for."""
        return resolve_gaze(self._config.gaze.source, self._config.sensor.source)

    @property
    def addresses(self) -> Addresses | None:
        """Where the stream, control and input are bound; None when nothing is published."""
        return self._publisher.addresses if self._publisher else None

    def __iter__(self) -> Iterator[Mask]:
        if self._publisher and self._config.sensor.pace == "every":
            self._publisher.serve(timeout_ms=_JOIN_MS)
        while True:
            self._follow_head()
            self._follow_gaze()
            self._sensor.aim(self._tracker.predict(self._sensor.next_exposure_ns()))
            self._sleep()
            try:
                mask = self._sensor.read()
            except RecordingEnded:
                return
            if mask is None:
                continue
            now_s = time.monotonic()
            self._period_s, self._mask_s = now_s - self._mask_s, now_s
            mask = self._tracker.see(mask)
            if self._publisher:
                self._publisher.send(mask)
            yield mask

    def _follow_head(self) -> None:
        """The glasses' own poses, where they measure any, else those that are pushed in."""
        own = self._gaze.poses() if isinstance(self._gaze, HeadSource) else ()
        pushed = self._pushed.take()
        self._has_poses = self._has_poses or bool(own)
        for pose in own if self._has_poses else pushed:
            self._tracker.turn(pose)

    def _follow_gaze(self) -> None:
        for sample in self._gaze.read():
            self._seen = sample
            movement = self._attention.follow(self._tracker, sample, self._clock())
            if movement and self._publisher:
                self._publisher.send_gaze(movement.gaze, movement.state)

    def _sleep(self) -> None:
        """Until a mask is ready, or it is time to aim; control is answered meanwhile."""
        ahead_ms = (self._sensor.next_exposure_ns() - time.monotonic_ns()) / 1e6 - _AHEAD_MS
        wait_ms = min(ahead_ms, _TICK_MS) if ahead_ms >= 1 else _TICK_MS
        if self._publisher is None:
            select.select([self._sensor], [], [], wait_ms / 1e3)
            return
        self._publisher.report(self._health(), self._gaze_state())
        self._publisher.serve(until=self._sensor, timeout_ms=wait_ms)

    def _health(self) -> Health:
        """The sensor's own word, unless masks stay away that it says it streams.

        Where nothing is wrong with the sensor, the reason is the gaze source's, or the poses'.
        """
        health = self._sensor.health()
        silent_s = time.monotonic() - self._mask_s
        if health.state == "streaming" and silent_s > max(_STALLED_S, 10 * self._period_s):
            reason = f"no-masks: the sensor has given no mask for {silent_s:.0f} s"
            return replace(health, state="stalled", reason=reason)
        reason = self._gaze.reason or self._refused.reason or self._pushed.reason
        reason = reason or self._attention.reason
        return replace(health, reason=reason) if reason and not health.reason else health

    def _gaze_state(self) -> GazeState:
        provider = self.gaze_source.partition(":")[0]
        if self._seen is None:
            return GazeState(provider, "none", None)
        age_ms = max((self._clock() - self._seen.time_ns) / 1e6, 0.0)
        if age_ms > _LOST_MS:
            return GazeState(provider, "lost", age_ms)
        fresh = age_ms <= _STALE_MS and self._seen.confidence > 0
        return GazeState(provider, "tracking" if fresh else "stale", age_ms)

    # What control and inputs may do (glasses_sdk.transport.Commands)

    def look(self, x: float, y: float, side: float | None, time_ns: int) -> None:
        """Track what is at (x, y) in sensor pixels, as if looked at, until `release`: a tap."""
        self._tracker.take((x, y), time_ns, side)

    def look_at(self, roi: Roi, time_ns: int) -> None:
        """Track what fills this region, until `release`."""
        self._tracker.take_region(roi, time_ns)

    def release(self, time_ns: int) -> None:
        """Back to gaze."""
        self._tracker.release()

    def gaze(self, name: str, gaze: Gaze) -> None:
        """A sample that another program pushed in; counts where `inlet` is the gaze source."""
        if isinstance(self._gaze, Inlet):
            self._gaze.push(name, gaze)
        elif name != "pointer":  # the viewer's page tells its pointer to whoever it shows
            what = (
                f"{name!r} pushes gaze, and {self.gaze_source} is followed; --gaze inlet takes it"
            )
            self._refused.refuse(what, "not-asked")

    def head(self, name: str, pose: HeadPose) -> None:
        """A head pose that another program pushed in: the picture turns, and so may the gaze."""
        self._pushed.add(pose.time_ns, pose.orientation, pose.angular_rate)
        if isinstance(self._gaze, Head):
            self._gaze.push(name, pose)

    def refuse(self, what: str) -> None:
        """Something was pushed in that is no input; the status's reason says so for a second."""
        self._refused.refuse(what)


def _card(gaze_map: GazeMap) -> GazeMapCard:
    """The map in force, as the calibration message says it; it was made or loaded now."""
    return GazeMapCard(
        model=gaze_map.model,
        matrix=tuple(float(number) for number in gaze_map.matrix.ravel()),
        accuracy_deg=None,
        precision_deg=None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
