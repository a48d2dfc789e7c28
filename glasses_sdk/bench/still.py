"""A camera that shows one made picture whenever it is told to, and the sensors around it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

import msgspec

from glasses_sdk.bench.scene import FRAME, TICK, picture, ready_mask
from glasses_sdk.errors import RecordingEnded
from glasses_sdk.network import Network
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.sensors.engine import serve
from glasses_sdk.sensors.frames import Frame
from glasses_sdk.sensors.host import HostEngine, HostSensor
from glasses_sdk.sensors.link import Link, pipes
from glasses_sdk.types import Mask, Roi, Size

__all__ = ["ReadySensor", "StillFrames", "StillSensor", "StillSpec", "open_still"]

_PERIOD_NS = 33_333_333


class StillFrames:
    """`Frames` (glasses_sdk.sensors.frames): the picture, for each tick in a named pipe.

    The recording ends when nobody holds the pipe.
    """

    kind = "still"
    size = FRAME

    def __init__(self, fifo: Path) -> None:
        self._picture = picture()
        self._camera = os.open(fifo, os.O_RDONLY)
        self.first_frame_ns = time.monotonic_ns()
        self._due_ns = self.first_frame_ns

    def read(self) -> Frame | None:
        tick = os.read(self._camera, TICK.size)
        if not tick:
            return None
        seq, time_ns = TICK.unpack(tick)
        self._due_ns = time_ns + _PERIOD_NS
        return Frame(self._picture, time_ns, seq)

    def next_ns(self) -> int:
        return self._due_ns

    def resume(self, seq: int, first_frame_ns: int) -> None:
        self.first_frame_ns = first_frame_ns

    def close(self) -> None:
        os.close(self._camera)


class StillSpec(msgspec.Struct, frozen=True):
    """What to open; travels to a process of its own."""

    fifo: str
    model: str
    lockstep: bool = False
    live: bool = False

    def resumed(self, start: int, first_frame_ns: int) -> StillSpec:
        return self


def open_still(spec: StillSpec) -> HostEngine:
    """The engine of a host sensor, looking at the picture."""
    network = Network(Path(spec.model))
    return HostEngine(StillFrames(Path(spec.fifo)), network)


class StillSensor(HostSensor):
    """The host sensor, looking at the picture."""

    def __init__(self, spec: StillSpec) -> None:
        self._lockstep = False
        ends, aims, records = pipes()
        self._thread = threading.Thread(
            target=serve,
            args=(lambda: open_still(spec), ends, False),
            name="still camera",
            daemon=True,
        )
        self._thread.start()
        self._link = Link(aims, records, 60.0, False)


class ReadySensor:
    """A `Sensor` (glasses_sdk.protocols) whose masks come ready-made, as from an IMX500.

    The named pipe's own descriptor says that one is there.
    """

    def __init__(self, fifo: Path) -> None:
        self._camera = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.info = SensorInfo(
            kind="ready",
            size=FRAME,
            mask=Size(96, 96),
            model="ready-made@00000000",
            isolation="none",
            input_tensor="absent",
            first_frame_ns=time.monotonic_ns(),
        )

    def aim(self, roi: Roi | None) -> None:
        """Its masks are of the middle, wherever it is aimed."""

    def next_exposure_ns(self) -> int:
        return time.monotonic_ns() + _PERIOD_NS

    def fileno(self) -> int:
        return self._camera

    def read(self) -> Mask | None:
        try:
            tick = os.read(self._camera, TICK.size)
        except BlockingIOError:
            return None
        if not tick:
            raise RecordingEnded("the camera has gone")
        seq, time_ns = TICK.unpack(tick)
        return ready_mask(seq, time_ns)

    def health(self) -> Health:
        return Health("streaming")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._camera)
