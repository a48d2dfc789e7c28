"""What all messages share: the two frames, the header, and one way to say that bytes are wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from glasses_sdk.errors import WireError

__all__ = [
    "LARGEST",
    "OVERHEAD",
    "VERSION",
    "Count",
    "Header",
    "Model",
    "Origin",
    "Privacy",
    "Share",
    "Side",
    "finite",
    "pack",
    "parse",
    "two_frames",
    "unpack",
]

VERSION = 1
OVERHEAD = 512
"""Bytes that a payload may have beyond its mask's data."""
LARGEST = 256 * 32 + OVERHEAD
"""Bytes of the largest payload of any kind: a mask of 256 x 256 cells."""

Privacy = Literal["fine", "coarse"]
Count = Annotated[int, Meta(ge=0)]
Side = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Model = Annotated[str, Meta(max_length=48)]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that every published message begins with."""

    v: Literal[1]
    topic: str
    device: str
    session: str


HeaderT = TypeVar("HeaderT", bound=Header)
AnyT = TypeVar("AnyT")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who publishes: `session` is 16 hex digits, new at each start; `model` is name@hash."""

    device: str
    session: str
    model: str
    privacy: Privacy = "fine"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]{1,32}", self.device):
            raise ValueError(f"a device is 1 to 32 of a-z, 0-9 and -, not {self.device!r}")
        if not re.fullmatch(r"[0-9a-f]{16}", self.session):
            raise ValueError(f"a session is 16 hex digits, not {self.session!r}")
        if not (len(self.model) <= 48 and self.model.isascii()):
            raise ValueError(f"a model's name is at most 48 ASCII characters, not {self.model!r}")
        if self.privacy not in get_args(Privacy):
            raise ValueError(f"privacy is 'fine' or 'coarse', not {self.privacy!r}")

    def topic(self, kind: str) -> str:
        """`g1.<kind>.<device>`."""
        return f"g1.{kind}.{self.device}"


def two_frames(frames: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Topic and payload, not larger than any message may be."""
    if len(frames) != 2:
        raise WireError(f"a message has two frames, topic and payload, not {len(frames)}")
    topic, payload = frames
    if len(payload) > LARGEST:
        raise WireError(f"a payload has at most {LARGEST} bytes, not {len(payload)}")
    return bytes(topic), payload


def parse(decoder: msgspec.msgpack.Decoder[AnyT], payload: bytes, what: str) -> AnyT:
    """The record in these bytes; WireError says what is wrong with them."""
    try:
        return decoder.decode(payload)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WireError(f"not a {what} message: {str(error)[:150]}") from error


def unpack(
    decoder: msgspec.msgpack.Decoder[HeaderT], frames: Sequence[bytes], kind: str
) -> HeaderT:
    """The published message of this kind, its topic the same in both places."""
    topic, payload = two_frames(frames)
    message = parse(decoder, payload, kind)
    _check_header(kind, topic, message.topic, message.device, message.session)
    return message


@lru_cache(maxsize=16)  # a publisher's are the same thirty times a second
def _check_header(kind: str, topic: bytes, same: str, device: str, session: str) -> None:
    if same != f"g1.{kind}.{device}" or same.encode() != topic:
        raise WireError(
            f"not a {kind} message: its topics are {topic[:60]!r} and {same[:60]!r}, "
            f"its device is {device[:60]!r}"
        )
    if not re.fullmatch(r"[a-z0-9-]{1,32}", device):
        raise WireError(f"a device is 1 to 32 of a-z, 0-9 and -, not {device[:60]!r}")
    if not re.fullmatch(r"[0-9a-fA-F]{16}", session):
        raise WireError(f"a session is 16 hex digits, not {session[:60]!r}")


_encoder = msgspec.msgpack.Encoder()


def pack(message: msgspec.Struct) -> bytes:
    """One msgpack map; WireError where a value does not fit, as an integer beyond 64 bits."""
    try:
        return _encoder.encode(message)
    except (OverflowError, TypeError, ValueError) as error:
        raise WireError(f"{type(message).__name__} does not fit msgpack: {error}") from error


def finite(**numbers: float | None) -> None:
    """Refuses NaN and infinity by their key: msgspec takes them where a key has no bounds."""
    for key, number in numbers.items():
        if number is not None and not isfinite(number):
            raise ValueError(f"`{key}` is a finite number, not {number}")
