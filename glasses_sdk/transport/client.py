"""A small client of the control socket: who is there, what time is it, look there."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

import zmq

from glasses_sdk.errors import StreamError, WireError
from glasses_sdk.transport.sockets import HEARTBEAT
from glasses_sdk.types import Roi
from glasses_sdk.wire import (
    VERSION,
    AimRequest,
    Done,
    HelloReply,
    HelloRequest,
    Refusal,
    ReleaseRequest,
    Request,
    TimeReply,
    TimeRequest,
    decode_reply,
    encode_request,
)
from glasses_sdk.wire.requests import Reply

__all__ = ["ClockOffset", "Control"]

_SAMPLES = 16

ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The publisher's monotonic clock minus ours, true to within half of the round trip."""

    offset_ns: int
    round_trip_ns: int


class Control:
    """Requests to a publisher, one at a time; a lost reply leaves nothing locked.

    Every method raises StreamError where no reply comes in `timeout` seconds, or the request is
    refused. Open when built, closed by `with`.
    """

    def __init__(self, address: str = "tcp://127.0.0.1:5571", timeout: float = 1.0) -> None:
        self._address = address
        self._timeout_ns = int(timeout * 1e9)
        self._count = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        # IMMEDIATE: a request never waits for a publisher that comes later
        for option, value in {**HEARTBEAT, zmq.IMMEDIATE: 1, zmq.IPV6: int("[" in address)}.items():
            self._socket.setsockopt(option, value)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise StreamError(f"cannot connect to {address}: {error.strerror}") from error

    def hello(self) -> HelloReply:
        """Who is there."""
        return self._ask(HelloRequest(v=VERSION, id=self._next()), HelloReply)

    def clock(self) -> ClockOffset:
        """The offset of the clocks: of 16 samples, that of the least round trip."""
        samples = [self._clock_once() for _ in range(_SAMPLES)]
        return min(samples, key=lambda sample: sample.round_trip_ns)

    def aim(self, x: float, y: float, side: float | None = None) -> None:
        """Track what is at (x, y), about `side` large: full-sensor pixels."""
        self._ask(AimRequest(v=VERSION, id=self._next(), x=x, y=y, side=side), Done)

    def aim_at(self, roi: Roi) -> None:
        """Track what is in this region, full-sensor pixels."""
        corners = (roi.left, roi.top, roi.width, roi.height)
        self._ask(AimRequest(v=VERSION, id=self._next(), roi=corners), Done)

    def release(self) -> None:
        """Back to gaze."""
        self._ask(ReleaseRequest(v=VERSION, id=self._next()), Done)

    def close(self) -> None:
        """Let go of the socket."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _clock_once(self) -> ClockOffset:
        sent_ns = time.monotonic_ns()
        request = TimeRequest(v=VERSION, id=self._next(), t_client_ns=sent_ns)
        reply = self._ask(request, TimeReply)
        back_ns = time.monotonic_ns()
        offset_ns = (reply.t_recv_ns - sent_ns + reply.t_send_ns - back_ns) // 2
        return ClockOffset(offset_ns, back_ns - sent_ns - (reply.t_send_ns - reply.t_recv_ns))

    def _ask(self, request: Request, kind: type[ReplyT]) -> ReplyT:
        deadline_ns = time.monotonic_ns() + self._timeout_ns
        self._send(encode_request(request), deadline_ns)
        while True:
            self._wait(zmq.POLLIN, deadline_ns)
            frames = self._socket.recv_multipart()
            reply = self._read(frames[-1], kind)
            if reply is not None and reply.id == request.id:
                return self._accepted(reply)

    def _send(self, request: bytes, deadline_ns: int) -> None:
        while True:
            self._wait(zmq.POLLOUT, deadline_ns)
            with suppress(zmq.Again):  # the connection went between the two
                return self._socket.send(request, zmq.NOBLOCK)

    def _wait(self, event: int, deadline_ns: int) -> None:
        left_ms = max((deadline_ns - time.monotonic_ns()) // 1_000_000, 0)
        if not self._socket.poll(left_ms, event):
            raise StreamError(
                f"no answer from {self._address} in {self._timeout_ns / 1e9:g} s: "
                "is a publisher running there?"
            )

    def _read(self, payload: bytes, kind: type[ReplyT]) -> ReplyT | Refusal | None:
        """None for what cannot be the reply: one that comes late is of another kind."""
        try:
            return decode_reply(payload, kind)
        except WireError:
            return None

    def _accepted(self, reply: ReplyT | Refusal) -> ReplyT:
        if isinstance(reply, Refusal):
            raise StreamError(f"{self._address} refused: {reply.error}")
        return reply
