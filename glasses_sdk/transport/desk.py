"""The control desk: one request in, one reply out, whatever the request is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from glasses_sdk.errors import GlassesError, WireError
from glasses_sdk.types import Gaze, HeadPose, Roi, Size
from glasses_sdk.wire import (
    VERSION,
    AimRequest,
    Done,
    HelloReply,
    HelloRequest,
    Origin,
    Refusal,
    ReleaseRequest,
    Request,
    TimeReply,
    TimeRequest,
    decode_request,
    encode_reply,
    request_id,
)

__all__ = ["Commands", "Desk", "letter"]


class Commands(Protocol):
    """What requests and inputs may do: the pipeline's side of the publisher.

    Full-sensor pixels in `look` and `look_at`; 0 to 1 of the sensor's sides in `gaze`. What
    `look`, `look_at` or `release` raise (GlassesError, ValueError) becomes the reply's sentence.
    """

    def look(self, x: float, y: float, side: float | None, time_ns: int) -> None:
        """Track what is at (x, y), about `side` pixels large, as if looked at."""
        ...

    def look_at(self, roi: Roi, time_ns: int) -> None:
        """Track what is in this region."""
        ...

    def release(self, time_ns: int) -> None:
        """Back to gaze."""
        ...

    def gaze(self, name: str, gaze: Gaze) -> None:
        """A sample from the input called so."""
        ...

    def head(self, name: str, pose: HeadPose) -> None:
        """A sample from the input called so."""
        ...

    def refuse(self, what: str) -> None:
        """An input is no such message; `what` is a sentence."""
        ...


class Desk:
    """Answers control requests; what is malformed is refused and changes nothing."""

    def __init__(
        self,
        origin: Origin,
        sensor: Size,
        commands: Commands,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._origin = origin
        self._sensor = sensor
        self._commands = commands
        self._clock = clock

    def answer(self, payload: bytes, received_ns: int) -> bytes:
        """The reply to the request in this frame; never raises."""
        try:
            return encode_reply(self._reply(decode_request(payload), received_ns))
        except (GlassesError, ValueError) as error:
            return self._refuse(request_id(payload), str(error))

    def _refuse(self, name: int | float | str | None, sentence: str) -> bytes:
        return encode_reply(Refusal(v=VERSION, id=name, ok=False, error=sentence))

    def _reply(self, request: Request, received_ns: int) -> HelloReply | TimeReply | Done:
        match request:
            case HelloRequest():
                return self._hello(request)
            case TimeRequest():
                return self._time(request, received_ns)
            case AimRequest():
                self._aim(request, received_ns)
            case ReleaseRequest():
                self._commands.release(received_ns)
            case _:
                raise WireError("a pointer's gaze comes over WebSocket or the input socket")
        return Done(v=VERSION, id=request.id, ok=True)

    def _hello(self, request: HelloRequest) -> HelloReply:
        return HelloReply(
            v=VERSION,
            id=request.id,
            ok=True,
            protocol=(VERSION, VERSION),
            device=self._origin.device,
            session=self._origin.session,
            sensor=(self._sensor.width, self._sensor.height),
            model=self._origin.model,
            privacy=self._origin.privacy,
        )

    def _time(self, request: TimeRequest, received_ns: int) -> TimeReply:
        return TimeReply(
            v=VERSION,
            id=request.id,
            ok=True,
            t_client_ns=request.t_client_ns,
            t_recv_ns=received_ns,
            t_send_ns=self._clock(),
        )

    def _aim(self, request: AimRequest, time_ns: int) -> None:
        if request.roi is not None:
            self._commands.look_at(self._inside(Roi(*request.roi)), time_ns)
        elif request.x is not None and request.y is not None:
            self._check_point(request.x, request.y, request.side)
            self._commands.look(request.x, request.y, request.side, time_ns)

    def _inside(self, roi: Roi) -> Roi:
        sensor = self._sensor
        if min(roi.left, roi.top) < 0 or roi.right > sensor.width or roi.bottom > sensor.height:
            raise WireError(f"{roi} is not inside the sensor of {sensor}")
        return roi

    def _check_point(self, x: float, y: float, side: float | None) -> None:
        sensor = self._sensor
        if not (0 <= x < sensor.width and 0 <= y < sensor.height):
            raise WireError(f"({x}, {y}) is not on the sensor of {sensor}")
        if side is not None and not 0 < side <= max(sensor.width, sensor.height):
            raise WireError(
                f"a side is more than 0 and at most the sensor's longer one, not {side}"
            )


def letter(frames: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """What a ROUTER received, as the envelope to send back and the request.

    The envelope ends at the empty frame of a REQ, where there is one. A letter that has not one
    frame after it becomes an empty request, which the desk refuses.
    """
    sender, rest = list(frames[:1]), list(frames[1:])
    if b"" in rest[:-1]:
        end = rest.index(b"") + 1
        sender, rest = sender + rest[:end], rest[end:]
    return sender, rest[0] if len(rest) == 1 else b""
