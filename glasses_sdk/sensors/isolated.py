"""A sensor whose camera and network live in a process of their own, which can reach nobody.

What a chip with a network inside does in silicon, this does with the kernel's help for any camera:
the child (glasses_sdk.sensors.child) holds the pixels and has two pipes, aims in and mask records
out. This end starts it, names the engine to it and, when it dies, starts it anew; a mask that was
on its way is then lost and leaves a gap in `seq`. Linux only.
"""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from typing import Self

from glasses_sdk.errors import DeviceError, DeviceLost, GlassesError, RecordingEnded
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.sensors.child import OPEN_SECONDS, Child, Spec
from glasses_sdk.sensors.link import Hangup, Link
from glasses_sdk.types import Mask, Roi

__all__ = ["IsolatedSensor", "Patience"]


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up: after `deaths` of the process within `within_s`, or once a live camera
    that said it was gone has given no mask for `away_s`.
    """

    deaths: int = 5
    within_s: float = 10.0
    away_s: float = 60.0


class IsolatedSensor:
    """A `Sensor` (glasses_sdk.protocols) whose engine runs in a locked-in process.

    `engine` is its name, as in `package.module:function`. A process that dies is started anew
    with the next frame but one: times and numbers go on, `health` says `restarting` meanwhile.
    So is a live camera that got lost, again and again with growing pauses; a recording's fault is
    raised. Build it in a thread that outlives it: the kernel ends the child with that thread.
    Raises what the engine cannot open with.
    """

    def __init__(self, engine: str, spec: Spec, patience: Patience | None = None) -> None:
        self._engine = engine
        self._spec = spec
        self._patience = patience or Patience()
        self._poller = select.epoll()  # stays the same descriptor when the pipe in it changes
        self._watched: int | None = None
        self._buried: list[Child] = []
        self._trouble = ""
        self._over: GlassesError | None = None
        self._aim: tuple[Roi | None] | None = None
        self._newest = -1  # frame number
        self._dropped = self._dropped_before = 0
        self._deaths: list[float] = []
        self._barren = 0  # processes in a row that gave no mask
        self._alive_s = time.monotonic()
        self._start(spec, pause_s=0.0)
        try:
            self._link: Link | None = self._child.open(OPEN_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self._info = self._link.info
        self._next_ns = self._link.next_ns

    @property
    def info(self) -> SensorInfo:
        return self._info

    def aim(self, roi: Roi | None) -> None:
        self._aim = (roi,)
        if self._link:
            self._link.aim(roi)

    def next_exposure_ns(self) -> int:
        due = self._next_ns
        return due if self._spec.lockstep else max(due, time.monotonic_ns())

    def fileno(self) -> int:
        return self._poller.fileno()

    def health(self) -> Health:
        if self._link:
            return Health("streaming", dropped=self._dropped)
        reason = f"{self._trouble}{self._last.fate}; it is being started anew"
        return Health("restarting", reason=reason[:200], dropped=self._dropped)

    def read(self) -> Mask | None:
        self._buried = [child for child in self._buried if not child.has_ended()]
        if self._over:
            raise self._over
        try:
            return self._read()
        except RecordingEnded as end:
            self._over = end
            raise
        except GlassesError as fault:
            self._recover(fault)
            return None

    def _read(self) -> Mask | None:
        if self._link is None:
            if not self._child.is_ready():
                return None
            self._watch(None)  # a link that fails closes it
            self._link = self._child.open(0.0)
            self._watch(self._child.records)
            if self._aim:
                self._link.aim(*self._aim)
        mask = self._link.read()
        if mask:
            self._note(mask.seq, self._link)
        return mask

    def _note(self, seq: int, link: Link) -> None:
        self._newest = seq
        self._next_ns = link.next_ns
        self._dropped = self._dropped_before + link.dropped
        self._barren = 0
        self._alive_s = time.monotonic()

    def _recover(self, fault: GlassesError) -> None:
        """Start anew after a crash or a live camera's fault; raise DeviceLost when it is enough."""
        crashed = isinstance(fault, Hangup)
        self._trouble = f"{'sensor-died' if crashed else 'sensor-lost'}: {fault}"
        self._bury()
        enough = self._has_died_enough() if crashed else self._is_gone(fault)
        if enough is not None:
            self._over = DeviceLost(f"{fault}{enough}")
            raise self._over from fault
        spec = self._spec.resumed(self._newest + 2, self._info.first_frame_ns)
        self._dropped_before = self._dropped - (self._newest + 1)
        pause_s = min(0.1 * 2**self._barren, 2.0) if self._barren else 0.0
        self._barren += 1
        try:
            self._start(spec, pause_s)
        except DeviceError as error:
            self._over = DeviceLost(str(error))
            raise self._over from error

    def _has_died_enough(self) -> str | None:
        now, patience = time.monotonic(), self._patience
        self._deaths = [at for at in self._deaths if now - at < patience.within_s] + [now]
        if len(self._deaths) < patience.deaths:
            return None
        return f", {patience.deaths} times within {patience.within_s:.0f} s"

    def _is_gone(self, fault: GlassesError) -> str | None:
        if not (self._spec.live and isinstance(fault, DeviceError)):
            return ""
        away_s = time.monotonic() - self._alive_s
        return f", for {away_s:.0f} s" if away_s > self._patience.away_s else None

    def _start(self, spec: Spec, pause_s: float) -> None:
        self._link = None
        self._child = Child(self._engine, spec, pause_s)
        self._watch(self._child.records)

    def _watch(self, records: int | None) -> None:
        """Let `fileno` be readable when this pipe is; None: no pipe."""
        if self._watched is not None:
            self._poller.unregister(self._watched)
        if records is not None:
            self._poller.register(records, select.EPOLLIN)
        self._watched = records

    def _bury(self) -> None:
        self._watch(None)
        self._child.hang_up()
        self._buried.append(self._child)
        self._last = self._child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._poller.close()
        self._child.hang_up()
        for child in (self._child, *self._buried):
            child.end()
