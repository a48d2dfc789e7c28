"""The publisher: masks and status out, control and inputs in, in one thread on one poller."""

from __future__ import annotations

import os
import secrets
import select
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from math import ceil, isfinite
from typing import Protocol, Self

import zmq

from glasses_sdk.errors import ConfigError, WireError
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.transport.coarse import Coarse
from glasses_sdk.transport.config import Addresses, StreamConfig
from glasses_sdk.transport.desk import Commands, Desk, letter
from glasses_sdk.transport.sockets import Socket, open_sockets
from glasses_sdk.types import Gaze, Mask
from glasses_sdk.wire import (
    Calibration,
    CameraCard,
    ClockReading,
    GazeMapCard,
    GazeMessage,
    GazeState,
    Kpi,
    Origin,
    SensorCard,
    Status,
    decode_input,
    encode,
    encode_mask,
)
from glasses_sdk.wire.inputs import arrived
from glasses_sdk.wire.news import EyeState

__all__ = ["MaskPublisher"]

_SECOND_NS = 1_000_000_000
_NOW = int(zmq.NOBLOCK)  # as enums, pyzmq takes longer over them than over the message
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_AT_ONCE = 64  # messages read from one socket before the descriptor is looked at again


class Readable(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int: ...


class MaskPublisher:
    """Publishes masks and answers control; open when built, closed by `with`.

    Raises StreamError where an address is in use or cannot be bound.
    """

    def __init__(self, config: StreamConfig, info: SensorInfo, commands: Commands) -> None:
        self._origin = _origin(config, info)
        self._info = info
        self._commands = commands
        self._desk = Desk(self._origin, info.size, commands)
        self._coarse = Coarse() if config.privacy == "coarse" else None
        self._health = Health("starting")
        self._gaze_state = GazeState("none", "none", None)
        self._sent_ns: deque[int] = deque()
        self._due_ns = 0
        self._sockets = open_sockets(config.bind)
        self._poller = select.poll()  # pyzmq's takes longer to wake up than all that follows
        for socket in (self._sockets.stream, self._sockets.control, self._sockets.input):
            self._poller.register(socket, select.POLLIN)
        self._watched: int | None = None
        self._calibration: tuple[bytes, bytes] = (b"", b"")
        self.calibrate()

    @property
    def addresses(self) -> Addresses:
        """Where the three sockets are bound."""
        return self._sockets.addresses

    @property
    def origin(self) -> Origin:
        """Device, session, model and privacy, as every mask says them."""
        return self._origin

    def send(self, mask: Mask) -> None:
        """Publish this mask now; never blocks, a slow subscriber loses it."""
        now_ns = time.monotonic_ns()
        told = mask if self._coarse is None else self._coarse(mask)
        self._publish(encode_mask(told, self._origin, now_ns))
        os.sched_yield()  # libzmq's own thread brings it out: before whatever we do next
        self._sent_ns.append(now_ns)
        self._forget(now_ns)

    def send_gaze(self, gaze: Gaze, state: EyeState) -> None:
        """Publish where the wearer looks, full-sensor pixels; nothing where privacy is `coarse`.

        In a blink the point may be NaN; on the wire it is then (0, 0) of confidence 0.
        """
        if self._origin.privacy == "coarse":
            return
        known = isfinite(gaze.x) and isfinite(gaze.y)
        message = GazeMessage(
            v=1,
            topic=self._origin.topic("gaze"),
            device=self._origin.device,
            session=self._origin.session,
            t_ns=gaze.time_ns,
            x=float(gaze.x) if known else 0.0,
            y=float(gaze.y) if known else 0.0,
            state=state,
            confidence=float(gaze.confidence) if known else 0.0,
        )
        self._publish(encode(message))

    def calibrate(
        self,
        gaze_map: GazeMapCard | None = None,
        camera: CameraCard | None = None,
        mount_rotation_deg: float = 0.0,
    ) -> None:
        """Say how gaze and camera are calibrated, now and to each new subscriber."""
        message = Calibration(
            v=1,
            topic=self._origin.topic("calibration"),
            device=self._origin.device,
            session=self._origin.session,
            sensor=(self._info.size.width, self._info.size.height),
            gaze_map=gaze_map,
            camera=camera,
            mount_rotation_deg=float(mount_rotation_deg),
        )
        self._calibration = encode(message)
        self._publish(self._calibration)

    def report(self, health: Health, gaze_state: GazeState) -> None:
        """What the next status says; one goes out at once where a state changed."""
        before = self._state()
        self._health, self._gaze_state = health, gaze_state
        if self._state() != before:
            self._send_status()

    def serve(self, until: Readable | None = None, timeout_ms: float = 100) -> None:
        """Answer control, take inputs and send the status, until the descriptor is readable.

        Returns then, or once the time has passed; whatever is waiting is served even with none.
        """
        deadline_ns = time.monotonic_ns() + int(timeout_ms * 1e6)
        descriptor = None if until is None else until.fileno()
        self._watch(descriptor)
        while True:
            served = self._serve()
            ready = dict(self._poller.poll(0 if served else self._wait_ms(deadline_ns)))
            if descriptor in ready or time.monotonic_ns() >= deadline_ns:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._health = Health("stopping")
        self._send_status()
        self._sockets.close()

    def _watch(self, descriptor: int | None) -> None:
        """Wait for this one too, and for none before it."""
        if descriptor == self._watched:
            return
        if self._watched is not None:
            self._poller.unregister(self._watched)
        if descriptor is not None:
            self._poller.register(descriptor, select.POLLIN)
        self._watched = descriptor

    def _wait_ms(self, deadline_ns: int) -> int:
        wait_ns = min(deadline_ns, self._due_ns) - time.monotonic_ns()
        return max(ceil(wait_ns / 1e6), 0)

    def _serve(self) -> bool:
        """Whatever waits now. True where something did: then there may be more.

        A socket's descriptor tells of news once; only when asked does a socket say what waits.
        """
        sockets = self._sockets
        duties = (
            (sockets.control, self._answer),
            (sockets.input, self._take_inputs),
            (sockets.stream, self._greet),
        )
        due = [duty for socket, duty in duties if int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN]
        if time.monotonic_ns() >= self._due_ns:
            due.append(self._send_status)
        for duty in due:
            duty()
        return bool(due)

    def _answer(self) -> None:
        for frames in _waiting(self._sockets.control):
            received_ns = time.monotonic_ns()
            envelope, request = letter(frames)
            reply = self._desk.answer(request, received_ns)
            with suppress(zmq.ZMQError):  # whoever asked has gone
                self._sockets.control.send_multipart([*envelope, reply], _NOW)

    def _take_inputs(self) -> None:
        for frames in _waiting(self._sockets.input):
            try:
                name, sample = decode_input(frames)
            except WireError as error:  # an input has no way back: the status says it
                self._commands.refuse(f"an input is skipped: {error}")
                continue
            match arrived(sample, time.monotonic_ns()):
                case Gaze() as gaze:
                    self._commands.gaze(name, gaze)
                case pose:
                    self._commands.head(name, pose)

    def _greet(self) -> None:
        if any(frames[0][:1] == b"\x01" for frames in list(_waiting(self._sockets.stream))):
            self._send_status()
            self._publish(self._calibration)

    def _state(self) -> tuple[object, ...]:
        gaze = self._gaze_state
        return self._health.state, self._health.reason, gaze.provider, gaze.state

    def _send_status(self) -> None:
        now_ns = time.monotonic_ns()
        self._due_ns = now_ns + _SECOND_NS
        self._forget(now_ns)
        self._publish(encode(self._status(now_ns)))

    def _forget(self, now_ns: int) -> None:
        while self._sent_ns and self._sent_ns[0] <= now_ns - _SECOND_NS:
            self._sent_ns.popleft()

    def _status(self, now_ns: int) -> Status:
        origin, info, health = self._origin, self._info, self._health
        return Status(
            v=1,
            topic=origin.topic("status"),
            device=origin.device,
            session=origin.session,
            t_publish_ns=now_ns,
            state=health.state,
            reason=health.reason and health.reason[:200],
            progress=None if health.progress is None else float(health.progress),
            fps=float(len(self._sent_ns)),
            dropped=health.dropped,
            roi_latency_frames=health.latency_frames,
            sensor=SensorCard(
                kind=info.kind,
                size=(info.size.width, info.size.height),
                mask=(info.mask.width, info.mask.height),
            ),
            model=origin.model,
            privacy=origin.privacy,
            isolation=info.isolation,
            input_tensor=info.input_tensor,
            kpi=health.kpi and Kpi(dnn_ms=float(health.kpi[0]), dsp_ms=float(health.kpi[1])),
            gaze=self._gaze_state,
            sdk=_sdk(),
            clock=ClockReading(monotonic_ns=time.monotonic_ns(), unix_ns=time.time_ns()),
            debug_pixels=False,
        )

    def _publish(self, message: tuple[bytes, bytes]) -> None:
        topic, payload = message
        with suppress(zmq.ZMQError):  # newest wins, nobody waits
            self._sockets.stream.send(topic, _MORE)
            self._sockets.stream.send(payload, _NOW)


def _origin(config: StreamConfig, info: SensorInfo) -> Origin:
    try:
        return Origin(config.device, secrets.token_hex(8), info.model, config.privacy)
    except ValueError as error:
        raise ConfigError(f"cannot be published: {error}") from error


def _sdk() -> str:
    try:
        return version("glasses-sdk")
    except PackageNotFoundError:
        return "0+source"


def _waiting(socket: Socket) -> Iterator[list[bytes]]:
    """The messages that wait there, not more than a turn's worth."""
    for _ in range(_AT_ONCE):
        try:
            yield socket.recv_multipart(_NOW)
        except zmq.Again:
            return
