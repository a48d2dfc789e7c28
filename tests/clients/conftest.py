"""A publisher as a program has it, for clients that do not use the SDK."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.transport import Addresses, GazeState, MaskPublisher, StreamConfig
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size

SENSOR = Size(640, 480)
INFO = SensorInfo("synthetic", SENSOR, Size(20, 12), "picosam3@89abcdef", "process", "absent", 0)


@dataclass
class Published:
    """What was sent, where, and the commands that came."""

    addresses: Addresses
    session: str
    bits: np.ndarray[Any, Any]
    commands: list[tuple[Any, ...]] = field(default_factory=list)

    def look(self, x: float, y: float, side: float | None, time_ns: int) -> None:
        self.commands.append(("look", x, y, side))

    def look_at(self, roi: Roi, time_ns: int) -> None:
        self.commands.append(("look_at", roi))

    def release(self, time_ns: int) -> None:
        self.commands.append(("release",))

    def gaze(self, name: str, gaze: Gaze) -> None:
        self.commands.append(("gaze", name, gaze.x, gaze.y))

    def head(self, name: str, pose: HeadPose) -> None:
        self.commands.append(("head", name, pose.orientation))

    def refuse(self, what: str) -> None:
        self.commands.append(("refuse", what))


@pytest.fixture
def published() -> Iterator[Published]:
    """A publisher that sends the same mask 100 times a second."""
    bits = np.random.default_rng(7).random((12, 20)) < 0.4
    commands = Published(None, "", bits)  # type: ignore[arg-type]
    publisher = MaskPublisher(StreamConfig("tcp://127.0.0.1:*"), INFO, commands)
    commands.addresses, commands.session = publisher.addresses, publisher.origin.session
    end = threading.Event()
    thread = threading.Thread(target=_publish, args=(publisher, bits, end))
    thread.start()
    yield commands
    end.set()
    thread.join()


def _publish(publisher: MaskPublisher, bits: np.ndarray[Any, Any], end: threading.Event) -> None:
    with publisher:
        publisher.report(Health("streaming"), GazeState("replay", "tracking", 4.5))
        seq = 2**60
        while not end.is_set():
            roi = Roi(100, 60, 200, 150)
            publisher.send(Mask(bits, roi, SENSOR, time.monotonic_ns(), seq, 0.875, 3))
            publisher.serve(None, 10)
            seq += 1
