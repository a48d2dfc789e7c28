"""What other programs send in: gaze and head samples on the input socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import msgspec
from msgspec.msgpack import Decoder

from glasses_sdk.errors import WireError
from glasses_sdk.types import Gaze, HeadPose
from glasses_sdk.wire.message import Count, Share, finite, pack, parse, two_frames

__all__ = ["arrived", "decode_input", "encode_gaze_input", "encode_head_input"]


class _Input(msgspec.Struct, frozen=True, kw_only=True):
    v: Literal[1]
    topic: str
    t_ns: Count


class _GazeInput(_Input, frozen=True, kw_only=True):
    x: float
    y: float
    confidence: Share

    def __post_init__(self) -> None:
        inside = 0 <= self.x <= 1 and 0 <= self.y <= 1
        if self.confidence > 0 and not inside:
            raise ValueError(f"`x` and `y` lie in 0 to 1, not ({self.x}, {self.y})")


class _HeadInput(_Input, frozen=True, kw_only=True):
    q: tuple[float, float, float, float]
    w: tuple[float, float, float] | None

    def __post_init__(self) -> None:
        for rate in self.w or ():
            finite(w=rate)


_gaze = Decoder(_GazeInput)
_head = Decoder(_HeadInput)


def decode_input(frames: Sequence[bytes]) -> tuple[str, Gaze | HeadPose]:
    """The name after `g1.in.gaze.` or `g1.in.head.`, and the sample.

    x and y are 0 to 1 of the sensor's sides, origin top-left; a time of 0 means that arrival
    counts. WireError for anything malformed.
    """
    topic, payload = two_frames(frames)
    kind, name = _kind_and_name(bytes(topic))
    try:
        message = _read(kind, payload)
        sample = _sample(message)
    except ValueError as error:
        raise WireError(f"not a {kind} input: {error}") from error
    if message.topic.encode() != topic:
        raise WireError(f"the topics {topic[:60]!r} and {message.topic[:60]!r} differ")
    return name, sample


def _kind_and_name(topic: bytes) -> tuple[str, str]:
    match topic.decode(errors="replace").split(".", 3):
        case ["g1", "in", "gaze" | "head" as kind, name] if 1 <= len(name) <= 64:
            return kind, name
        case _:
            raise WireError(f"an input's topic is g1.in.gaze.<name> or .head., not {topic[:60]!r}")


def _read(kind: str, payload: bytes) -> _GazeInput | _HeadInput:
    if kind == "gaze":
        return parse(_gaze, payload, "gaze input")
    return parse(_head, payload, "head input")


def _sample(message: _GazeInput | _HeadInput) -> Gaze | HeadPose:
    match message:
        case _GazeInput():
            return Gaze(message.t_ns, message.x, message.y, message.confidence)
        case _HeadInput():
            return HeadPose(message.t_ns, message.q, message.w)


def arrived(sample: Gaze | HeadPose, now_ns: int) -> Gaze | HeadPose:
    """The sample, its time the arrival where it did not say one."""
    return sample if sample.time_ns else replace(sample, time_ns=now_ns)


def encode_gaze_input(name: str, gaze: Gaze) -> tuple[bytes, bytes]:
    """Topic and payload of a gaze sample whose x and y are 0 to 1 of the sensor's sides.

    Raises WireError for a point outside of them: to look elsewhere is to have confidence 0.
    """
    topic = f"g1.in.gaze.{name}"
    x, y, confidence = float(gaze.x), float(gaze.y), float(gaze.confidence)
    try:
        message = _GazeInput(
            v=1, topic=topic, t_ns=int(gaze.time_ns), x=x, y=y, confidence=confidence
        )
    except ValueError as error:
        raise WireError(f"{error}, or the confidence is 0: who looks elsewhere") from error
    return topic.encode(), pack(message)


def encode_head_input(name: str, pose: HeadPose) -> tuple[bytes, bytes]:
    """Topic and payload of a head sample. Raises WireError for a rate that is no number."""
    topic = f"g1.in.head.{name}"
    x, y, z, w = map(float, pose.orientation)
    rate = None
    if pose.angular_rate is not None:
        about_x, about_y, about_z = map(float, pose.angular_rate)
        rate = about_x, about_y, about_z
    try:
        message = _HeadInput(v=1, topic=topic, t_ns=int(pose.time_ns), q=(x, y, z, w), w=rate)
    except ValueError as error:
        raise WireError(str(error)) from error
    return topic.encode(), pack(message)
