"""The loop's end of the IMX500: masks in, aims out, and an eye on the process with the camera."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from typing import Self

import numpy as np

from glasses_sdk import errors
from glasses_sdk.errors import DeviceError, DeviceLost, GlassesError, ModelError
from glasses_sdk.protocols import Health, SensorInfo, SensorState
from glasses_sdk.sensors.imx500.aim import Chip
from glasses_sdk.sensors.imx500.child import Child
from glasses_sdk.sensors.imx500.engine import Due
from glasses_sdk.sensors.imx500.records import Aim, Blank, Fault, Loading, Opened, Record, Saw
from glasses_sdk.sensors.imx500.rest import is_elsewhere, jumps
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["DRIVER", "Imx500Sensor", "Patience"]

DRIVER = "glasses_sdk.sensors.imx500.camera:open_camera"
_FORGOTTEN_S = 6.0  # the chip forgets its network 5 s after it stops: start well before, or after


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited before something counts as wrong.

    open_s        for the camera to be found and opened
    load_s        for the upload of the network to get any further
    first_frames  that may come without a result before the first with one
    stall_frames  without a mask; ten frame times, less the 100 ms between two looks
    away_s        of restarts that did not last, until the camera is gone for good
    lasting_s     of masks, until what comes next is a failure of its own
    """

    open_s: float = 20.0
    load_s: float = 180.0
    first_frames: int = 90
    stall_frames: int = 7
    away_s: float = 60.0
    lasting_s: float = 10.0


class Imx500Sensor:
    """A `Sensor` (glasses_sdk.protocols) whose masks are made in the camera.

    Built once the camera has been opened; its network is uploaded after that, which `health` calls
    `loading`. A camera that stalls, is unplugged or fails is `stalled` and then `restarting`: its
    process is started anew with growing pauses, and loads the network again. Numbers and times go
    on, with a gap. `driver` names what opens the camera. Raises ModelError for a wrong network
    (from `read`, where only its first tensor tells), DeviceError without a camera. Build it in a
    thread that outlives it: the kernel ends the process with that thread.
    """

    def __init__(
        self, spec: Imx500Spec, driver: str = DRIVER, patience: Patience | None = None
    ) -> None:
        self._spec = spec
        self._driver = driver
        self._patience = patience or Patience()
        self._poller = select.epoll()  # stays the same descriptor when the line in it changes
        self._aims = 0
        self._asked: Roi | None = None
        self._newest = -1  # frame number
        self._newest_ns = 0
        self._offset: int | None = 0  # from the process' frame numbers to ours
        self._given = 0
        self._blanks = 0
        self._kpi: tuple[float, float] | None = None
        self._due = Due(time.monotonic_ns(), 0, spec.period_ns)
        self._state: SensorState = "starting"
        self._reason: str | None = None
        self._progress: float | None = None
        self._streaming_s = 0.0  # since when
        self._failures = 0  # in a row
        self._failed_s = 0.0  # since when
        self._restart_s = 0.0  # when to
        self._over: GlassesError | None = None
        self._start()
        try:
            self._info = self._wait_opened()
        except BaseException:
            self.__exit__()
            raise
        self._chip = Chip(self._info.size, self._info.mask)

    @property
    def info(self) -> SensorInfo:
        return self._info

    def aim(self, roi: Roi | None) -> None:
        self._aims += 1
        self._asked = self._chip.fit(roi) if roi else None
        if self._state == "streaming":
            self._send_aim()

    def next_exposure_ns(self) -> int:
        return self._due.exposure_ns(time.monotonic_ns())

    def fileno(self) -> int:
        return self._poller.fileno()

    def read(self) -> Mask | None:
        if self._over:
            raise self._over
        newest = self._receive()
        self._watch()
        if newest is None or (self._spec.hold_settling and self._is_elsewhere(newest)):
            return None
        self._given += 1
        return self._mask(newest)

    def health(self) -> Health:
        return Health(
            self._state,
            reason=self._reason[:200] if self._reason else None,
            progress=self._progress,
            dropped=self._newest + 1 - self._given,
            latency_frames=self._spec.latency_frames,
            kpi=self._kpi,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._state = "stopping"
        self._poller.close()
        self._child.end()

    # What comes from the camera's process

    def _receive(self) -> Saw | None:
        """Everything that has come; the newest mask in it."""
        if self._state == "stalled":
            return None
        try:
            return self._drain()
        except EOFError:
            self._fail("sensor-died", f"the camera's process has died{self._child.fate}")
            return None

    def _drain(self) -> Saw | None:
        newest: Saw | None = None
        while record := self._child.line.receive():
            if isinstance(record, Fault):
                self._note_fault(record)
                break
            newest = record if isinstance(record, Saw) else newest
            self._note(record)
        return newest

    def _note(self, record: Record) -> None:
        now_s = time.monotonic()
        match record:
            case Saw():
                self._note_mask(record, now_s)
            case Blank():
                self._blanks += 1
            case Loading(share):
                if self._state == "starting":
                    self._state = "loading"
                if share != self._progress:
                    self._alive_s = now_s
                self._progress = share
            case _:  # opened
                self._alive_s, self._wait_s = now_s, self._patience.load_s

    def _note_mask(self, record: Saw, now_s: float) -> None:
        if self._offset is None:  # the first after a restart: as many lost as time says
            passed = round((record.time_ns - self._newest_ns) / self._spec.period_ns)
            self._offset = self._newest + max(passed, 2) - record.number
        self._newest, self._newest_ns = self._offset + record.number, record.time_ns
        self._kpi, self._due, self._alive_s = record.kpi, Due(*record.due), now_s
        self._reason = self._progress = None
        self._blanks = 0
        if self._state != "streaming":
            self._state, self._streaming_s = "streaming", now_s
            self._send_aim()
        if now_s - self._streaming_s > self._patience.lasting_s:
            self._failures = 0

    def _note_fault(self, fault: Fault) -> None:
        error = _raised(fault)
        if isinstance(error, ModelError) and self._state != "restarting":
            self._over = error  # no restart makes it another network
            raise error
        self._fail("sensor-lost", fault.sentence)

    def _mask(self, saw: Saw) -> Mask:
        return Mask(
            bits=_unpacked(saw.bits, self._info.mask),
            roi=Roi(*saw.box),
            sensor=self._info.size,
            time_ns=saw.time_ns,
            seq=self._newest,
            score=saw.score,
            roi_state="settling" if self._is_settling(saw) else "stable",
        )

    def _is_elsewhere(self, saw: Saw) -> bool:
        """Whether it shows another place than what has been asked for meanwhile."""
        if saw.elsewhere or saw.aim == self._aims or self._asked is None:
            return saw.elsewhere
        return is_elsewhere(Roi(*saw.box), self._asked)

    def _is_settling(self, saw: Saw) -> bool:
        """Whether it is not certain, or shows something else than what is asked for meanwhile."""
        asked = self._asked if saw.aim != self._aims else None
        return saw.settling or (asked is not None and jumps(Roi(*saw.box), asked))

    def _send_aim(self) -> None:
        roi = self._asked
        box = (roi.left, roi.top, roi.width, roi.height) if roi else None
        self._child.line.send(Aim(self._aims, box))

    # What to do when something is wrong

    def _watch(self) -> None:
        """Called at each look: is it late, and is it time to start anew?"""
        now_s = time.monotonic()
        if self._state == "stalled":
            self._wait_ended(now_s)
        elif self._state == "streaming":
            late_s = self._patience.stall_frames / self._spec.rate_hz
            if now_s - self._alive_s > late_s:
                self._fail(*self._stall())
        elif now_s - self._alive_s > self._wait_s:
            waited = f"nothing has come for {self._wait_s:.0f} s"
            self._fail("not-loaded", f"the network was not loaded: {waited}")
        elif self._blanks > self._patience.first_frames:
            self._fail(*self._stall())

    def _wait_ended(self, now_s: float) -> None:
        """Start anew once the old process is gone: it may still be asleep in the driver."""
        if now_s < self._restart_s:
            return
        if self._child.has_ended():
            self._restart()
        elif now_s - self._restart_s > self._patience.load_s:
            self._over = DeviceLost("the driver does not let go of the camera: reboot")
            raise self._over

    def _stall(self) -> tuple[str, str]:
        if self._blanks:
            return "tensors-stopped", f"{self._blanks} frames came without a usable tensor"
        return "no-frames", "the camera sends no frames"

    def _fail(self, code: str, sentence: str) -> None:
        """Stop the process for good; when it is enough, raise DeviceLost."""
        now_s = time.monotonic()
        if self._failures == 0:
            self._failed_s = now_s
        self._state = "stalled"
        self._reason = f"{code}: {sentence}; the camera is started anew"
        pause_s = 0.1 * 2**self._failures if self._failures else 0.0
        self._restart_s = now_s + (pause_s if pause_s < 1 else _FORGOTTEN_S)
        self._failures += 1
        self._poller.unregister(self._child.line.fileno())
        self._child.kill()
        if now_s - self._failed_s > self._patience.away_s:
            self._over = DeviceLost(f"{sentence}, for {self._patience.away_s:.0f} s")
            raise self._over

    def _restart(self) -> None:
        self._child.end()
        try:
            self._start()
        except DeviceError as error:
            self._over = DeviceLost(str(error))
            raise self._over from error
        self._state = "restarting"
        self._offset = None if self._newest >= 0 else 0

    def _start(self) -> None:
        self._child = Child(self._driver, self._spec)
        self._poller.register(self._child.line.fileno(), select.EPOLLIN)
        self._alive_s, self._wait_s = time.monotonic(), self._patience.open_s
        self._blanks = 0

    def _wait_opened(self) -> SensorInfo:
        """Of the first process: raises what the camera cannot be opened with."""
        if not self._poller.poll(self._patience.open_s):
            raise DeviceError(
                f"the camera has not opened within {self._patience.open_s:.0f} s: another program "
                "may be using it, `sudo fuser -v /dev/media*` says which"
            )
        try:
            record = self._child.line.receive()
        except EOFError as error:
            raise DeviceError("the camera's process died while opening") from error
        if isinstance(record, Fault):
            raise _raised(record)
        assert isinstance(record, Opened)
        self._note(record)
        return record.info


def _raised(fault: Fault) -> GlassesError:
    return getattr(errors, fault.kind, DeviceError)(fault.sentence)


def _unpacked(packed: bytes, cells: Size) -> Bits:
    rows = np.frombuffer(packed, np.uint8).reshape(cells.height, -1)
    return np.unpackbits(rows, axis=1, count=cells.width).view(np.bool_)
