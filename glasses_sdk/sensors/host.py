"""A camera or recording on this computer, its network run by onnxruntime.

Camera and network work in a thread of this process: pixels are in reach of the program. The
`isolated` sensor runs the same engine in a process of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from glasses_sdk.crop import crop
from glasses_sdk.errors import ConfigError
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.sensors.engine import serve
from glasses_sdk.sensors.frames import Frames, Images, Video, Webcam
from glasses_sdk.sensors.link import Link, pipes
from glasses_sdk.sensors.records import Seen
from glasses_sdk.sensors.spec import HostSpec
from glasses_sdk.types import Mask, Roi

__all__ = ["HostEngine", "HostSensor", "HostSpec", "open_engine"]

_OPEN_SECONDS = 20.0


class HostEngine:
    """Frames through the one crop into the network."""

    def __init__(self, frames: Frames, network: Network) -> None:
        self._frames = frames
        self._network = network
        self.info = SensorInfo(
            kind=frames.kind,
            size=frames.size,
            mask=network.input,
            model=network.name,
            isolation="none",
            input_tensor="unknown",
            first_frame_ns=frames.first_frame_ns,
        )
        self._whole = Roi(0, 0, frames.size.width, frames.size.height)
        self._nothing = np.zeros((network.input.height, network.input.width), np.bool_)

    def step(self, aim: Callable[[], Roi | None]) -> Seen | None:
        frame = self._frames.read()
        if frame is None:
            return None
        roi = aim()
        seen = visible(roi, self.info.size) if roi else None
        if seen is None:
            return Seen(self._nothing, self._whole, 0.0, frame.time_ns, frame.seq)
        picture = crop(frame.picture, seen, self._network.input)
        if frame.channels == "bgr":
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        found = self._network.segment(picture)  # pyright: ignore[reportArgumentType]
        return Seen(found.bits, seen, found.score, frame.time_ns, frame.seq)

    def next_ns(self) -> int:
        return self._frames.next_ns()

    def close(self) -> None:
        self._frames.close()


def open_engine(spec: HostSpec) -> HostEngine:
    """The network first: a wrong model is found before a camera's light goes on."""
    network = Network(Path(spec.model), spec.threads)
    frames = _open_frames(spec)
    if spec.start:
        frames.resume(spec.start, spec.first_frame_ns)
    return HostEngine(frames, network)


def _open_frames(spec: HostSpec) -> Frames:
    kind, _, rest = spec.source.partition(":")
    match kind:
        case "webcam":
            return Webcam(_number(kind, rest), spec.frames)
        case "picamera2":
            from glasses_sdk.sensors.picamera import PiCamera

            return PiCamera(_number(kind, rest), spec.frames)
        case "video":
            return Video(Path(rest), spec.pace, spec.frames)
        case "images":
            return Images(Path(rest), spec.pace, spec.frames, spec.images_hz)
        case "synthetic":
            from glasses_sdk.sensors.synthetic import SyntheticFrames, open_world

            return SyntheticFrames(open_world(rest), spec.pace, spec.frames)
        case _:
            known = "webcam:0, video:FILE, images:DIR, synthetic:SEED, picamera2:0, imx500"
            raise ConfigError(f"no sensor {spec.source!r}; known: {known}")


def _number(kind: str, rest: str) -> int:
    if not rest.isdecimal():
        raise ConfigError(f"a {kind} has a number, as in {kind}:0, not {rest!r}")
    return int(rest)


class HostSensor:
    """A `Sensor` (glasses_sdk.protocols) whose engine is a thread of this process."""

    def __init__(self, spec: HostSpec) -> None:
        self._lockstep = spec.lockstep
        ends, aims, records = pipes()
        self._thread = threading.Thread(
            target=serve,
            args=(lambda: open_engine(spec), ends, spec.lockstep),
            name=f"sensor {spec.source}",
            daemon=True,
        )
        self._thread.start()
        self._link = Link(aims, records, _OPEN_SECONDS, spec.lockstep)

    @property
    def info(self) -> SensorInfo:
        return self._link.info

    def aim(self, roi: Roi | None) -> None:
        self._link.aim(roi)

    def next_exposure_ns(self) -> int:
        due = self._link.next_ns
        return due if self._lockstep else max(due, time.monotonic_ns())

    def fileno(self) -> int:
        return self._link.fileno()

    def read(self) -> Mask | None:
        return self._link.read()

    def health(self) -> Health:
        return self._link.health()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._link.close()
        self._thread.join(timeout=3.0)
