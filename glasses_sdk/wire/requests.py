"""Requests to the control socket and their replies: msgpack maps, one frame each."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec.msgpack import Decoder

from glasses_sdk.errors import WireError
from glasses_sdk.wire.message import Privacy, Side, finite, pack, parse

__all__ = [
    "AimRequest",
    "Done",
    "HelloReply",
    "HelloRequest",
    "PointerRequest",
    "Refusal",
    "ReleaseRequest",
    "Reply",
    "Request",
    "RequestId",
    "TimeReply",
    "TimeRequest",
    "decode_reply",
    "decode_request",
    "encode_reply",
    "encode_request",
    "request_id",
]

RequestId = int | float | str | None
LARGEST_REQUEST = 4096


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    v: Literal[1]
    id: RequestId


class HelloRequest(_Request, frozen=True, kw_only=True, tag="hello"):
    """Who is there?"""


class TimeRequest(_Request, frozen=True, kw_only=True, tag="time"):
    """What does your monotonic clock say?"""

    t_client_ns: int


class AimRequest(_Request, frozen=True, kw_only=True, tag="aim", omit_defaults=True):
    """Track what is at (x, y), or in `roi` (left, top, width, height): full-sensor pixels."""

    x: float | None = None
    y: float | None = None
    side: float | None = None
    roi: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        point = self.x is not None and self.y is not None
        neither = self.x is None and self.y is None and self.side is None
        if not (point and self.roi is None) and not (neither and self.roi is not None):
            raise ValueError("aim takes x and y, or roi alone")
        finite(x=self.x, y=self.y, side=self.side)
        for number in self.roi or ():
            finite(roi=number)


class ReleaseRequest(_Request, frozen=True, kw_only=True, tag="release"):
    """Back to gaze."""


class PointerRequest(_Request, frozen=True, kw_only=True, tag="gaze"):
    """The pointer's look, 0 to 1 of the sensor's sides: only over WebSocket, without a reply."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise ValueError(f"`x` and `y` lie in 0 to 1, not ({self.x}, {self.y})")


Request = HelloRequest | TimeRequest | AimRequest | ReleaseRequest | PointerRequest


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What every reply begins with; the `id` is the request's."""

    v: Literal[1]
    id: RequestId
    ok: bool


class Done(Reply, frozen=True, kw_only=True):
    """It was done."""


class Refusal(Reply, frozen=True, kw_only=True):
    """It was not done, and nothing changed; `error` is a sentence."""

    error: str


class HelloReply(Reply, frozen=True, kw_only=True):
    """Who is there; `protocol` is the oldest and the newest version spoken."""

    protocol: tuple[int, int]
    device: str
    session: str
    sensor: tuple[Side, Side]
    model: str
    privacy: Privacy


class TimeReply(Reply, frozen=True, kw_only=True):
    """The publisher's monotonic clock when the request came and when the reply left."""

    t_client_ns: int
    t_recv_ns: int
    t_send_ns: int


class _Envelope(msgspec.Struct, frozen=True):
    op: Any = None


class _Named(msgspec.Struct, frozen=True):
    id: RequestId = None


_envelope = Decoder(_Envelope)
_named = Decoder(_Named)
_refusal = Decoder(Refusal)
_reply = Decoder(Reply)
_DECODERS: dict[object, Decoder[Any]] = {
    "hello": Decoder(HelloRequest),
    "time": Decoder(TimeRequest),
    "aim": Decoder(AimRequest),
    "release": Decoder(ReleaseRequest),
    "gaze": Decoder(PointerRequest),
}

ReplyT = TypeVar("ReplyT", bound=Reply)


def decode_request(payload: bytes) -> Request:
    """The request in this frame; WireError for anything else."""
    if len(payload) > LARGEST_REQUEST:
        raise WireError(f"a request has at most {LARGEST_REQUEST} bytes, not {len(payload)}")
    op = parse(_envelope, payload, "request").op
    if not (isinstance(op, str) and op in _DECODERS):
        raise WireError(f"no operation {str(op)[:40]!r}; known: hello, time, aim, release")
    return parse(_DECODERS[op], payload, op)


def request_id(payload: bytes) -> RequestId:
    """The `id` of a request that may be wrong otherwise; None where it cannot be read."""
    try:
        return parse(_named, payload, "request").id
    except WireError:
        return None


def decode_reply(payload: bytes, kind: type[ReplyT]) -> ReplyT | Refusal:
    """The reply, of this kind where it says ok; WireError where it is neither."""
    if not parse(_reply, payload, "reply").ok:
        return parse(_refusal, payload, "reply")
    return parse(Decoder(kind), payload, "reply")


def encode_request(request: Request) -> bytes:
    """One frame."""
    return pack(request)


def encode_reply(reply: Reply) -> bytes:
    """One frame."""
    return pack(reply)
