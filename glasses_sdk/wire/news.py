"""What is published beside the masks: status, calibration and gaze."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.msgpack import Decoder

from glasses_sdk.errors import WireError
from glasses_sdk.protocols import SensorState
from glasses_sdk.wire.masks import StreamedMask, decode_mask
from glasses_sdk.wire.message import (
    Count,
    Header,
    Model,
    Privacy,
    Share,
    Side,
    finite,
    pack,
    two_frames,
    unpack,
)

__all__ = [
    "Calibration",
    "CameraCard",
    "ClockReading",
    "EyeState",
    "GazeMapCard",
    "GazeMessage",
    "GazeState",
    "Kpi",
    "SensorCard",
    "Status",
    "decode",
    "encode",
]

EyeState = Literal["fixation", "saccade", "pursuit", "blink"]
_Matrix = Annotated[tuple[float, ...], Meta(min_length=9, max_length=9)]
_WidthHeight = tuple[Side, Side]


class SensorCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the sensor is; both sizes are (width, height)."""

    kind: str
    size: _WidthHeight
    mask: _WidthHeight


class Kpi(msgspec.Struct, frozen=True, kw_only=True):
    """The IMX500's own figures."""

    dnn_ms: float
    dsp_ms: float

    def __post_init__(self) -> None:
        finite(dnn_ms=self.dnn_ms, dsp_ms=self.dsp_ms)


class GazeState(msgspec.Struct, frozen=True):
    """Where the gaze comes from and how old it is; `age_ms` is None before the first sample."""

    provider: str
    state: Literal["tracking", "stale", "lost", "none"]
    age_ms: float | None

    def __post_init__(self) -> None:
        finite(age_ms=self.age_ms)


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The publisher's two clocks, read together."""

    monotonic_ns: int
    unix_ns: int


class Status(Header, frozen=True, kw_only=True):
    """How the glasses are: once a second, on change, and again for each new subscriber.

    `reason` is `code: sentence` when something is wrong; `progress` is 0 to 1 while loading.
    """

    t_publish_ns: Count
    state: SensorState
    reason: Annotated[str, Meta(max_length=200)] | None
    progress: Share | None
    fps: Annotated[float, Meta(ge=0)]
    dropped: Count
    roi_latency_frames: int | None
    sensor: SensorCard
    model: Model
    privacy: Privacy
    isolation: Literal["silicon", "process", "none"]
    input_tensor: Literal["absent", "off", "unknown", "on"]
    kpi: Kpi | None
    gaze: GazeState
    sdk: str
    clock: ClockReading
    debug_pixels: bool

    def __post_init__(self) -> None:
        finite(progress=self.progress, fps=self.fps)


class GazeMapCard(msgspec.Struct, frozen=True, kw_only=True):
    """The gaze map in use; `created` is RFC 3339."""

    model: str
    matrix: _Matrix | None
    accuracy_deg: float | None
    precision_deg: float | None
    created: str

    def __post_init__(self) -> None:
        _all_finite("matrix", self.matrix or ())
        finite(accuracy_deg=self.accuracy_deg, precision_deg=self.precision_deg)
        if datetime.fromisoformat(self.created).tzinfo is None:
            raise ValueError(f"`created` needs a time zone (RFC 3339), not {self.created!r}")


class CameraCard(msgspec.Struct, frozen=True, kw_only=True):
    """The camera's matrix, row by row, and its distortion in OpenCV's order."""

    matrix: _Matrix
    distortion: Annotated[tuple[float, ...], Meta(max_length=14)]

    def __post_init__(self) -> None:
        _all_finite("matrix", self.matrix)
        _all_finite("distortion", self.distortion)


class Calibration(Header, frozen=True, kw_only=True):
    """How gaze and camera are calibrated; None where they are not."""

    sensor: _WidthHeight
    gaze_map: GazeMapCard | None
    camera: CameraCard | None
    mount_rotation_deg: float

    def __post_init__(self) -> None:
        finite(mount_rotation_deg=self.mount_rotation_deg)


class GazeMessage(Header, frozen=True, kw_only=True):
    """Where the wearer looks, in full-sensor pixels; only with privacy `fine`."""

    t_ns: Count
    x: float
    y: float
    state: EyeState
    confidence: Share

    def __post_init__(self) -> None:
        finite(x=self.x, y=self.y, confidence=self.confidence)


Message = StreamedMask | Status | Calibration | GazeMessage

_status = Decoder(Status)
_calibration = Decoder(Calibration)
_gaze = Decoder(GazeMessage)
_DECODERS: dict[bytes, Callable[[Sequence[bytes]], Message]] = {
    b"mask": decode_mask,
    b"status": lambda frames: unpack(_status, frames, "status"),
    b"calibration": lambda frames: unpack(_calibration, frames, "calibration"),
    b"gaze": lambda frames: unpack(_gaze, frames, "gaze"),
}


def decode(frames: Sequence[bytes]) -> Message:
    """The message in these two frames, by its topic; WireError for anything else."""
    topic, _ = two_frames(frames)
    return _decoder_of(topic)(frames)


@lru_cache(maxsize=16)  # a stream has few topics, and each comes again and again
def _decoder_of(topic: bytes) -> Callable[[Sequence[bytes]], Message]:
    match topic.split(b"."):
        case [b"g1", kind, _] if kind in _DECODERS:
            return _DECODERS[kind]
        case _:
            raise WireError(f"no topic of version 1: {topic[:60]!r}")


def encode(message: Status | Calibration | GazeMessage) -> tuple[bytes, bytes]:
    """Topic and payload."""
    return message.topic.encode(), pack(message)


def _all_finite(key: str, numbers: Sequence[float]) -> None:
    for number in numbers:
        finite(**{key: number})
