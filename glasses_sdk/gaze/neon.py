"""Gaze from Neon or Pupil Invisible: the Companion app on their phone, over its real-time API.

Plane       0 to 1 of the scene camera's picture (Neon 1600x1200, Invisible 1088x1080), origin top
            left, lens distortion included
Clock       the phone's Unix time, brought to our monotonic clock by its Time Echo, which counts in
            milliseconds
Confidence  1 while worn; 0 when not, and in a blink: both lids less than 2 mm apart, where the app
            computes the eye state
Head        Neon's own orientation and angular rate, in the scene camera's frame

The library is made for asyncio, the loop of this program is not: so the library lives in a thread
of its own, which does nothing but fill two bounded queues that `read` and `poses` empty.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from math import inf, radians
from statistics import fmean
from typing import Any, Self

from glasses_sdk.errors import ConfigError
from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, as_gaze
from glasses_sdk.gaze.neon_recording import SCENE
from glasses_sdk.gaze.poses import Poses, Vector, combined, conjugate, rotated, turned
from glasses_sdk.turning import Quaternion
from glasses_sdk.types import Gaze, HeadPose, Size

try:
    from pupil_labs.realtime_api import Device, receive_gaze_data, receive_imu_data
    from pupil_labs.realtime_api.models import Status
    from pupil_labs.realtime_api.streaming.gaze import DualMonocularGazeData, GazeDataType
    from pupil_labs.realtime_api.streaming.imu import IMUData
    from pupil_labs.realtime_api.time_echo import TimeOffsetEstimator
except ImportError as error:
    raise ConfigError(
        f"Neon needs the package pupil-labs-realtime-api: pip install 'glasses-sdk[neon]' ({error})"
    ) from error

__all__ = ["HOST", "PORT", "Neon"]

HOST, PORT = "neon.local", 8080  # what the Companion app calls itself; Invisible's: pi.local

_INVISIBLE, _INVISIBLE_SCENE = "1", Size(1088, 1080)  # its hardware version; Neon's is 2
_SHUT_MM = 2.0  # a fifth of how far lids are apart in an open eye
_PATIENCE_S = 5.0  # for an answer; for data, of a phone that has left the network
_AGAIN_S = 1.0
_LOOK_S = 0.05  # whether the thread is to end
_ECHOES, _ECHOES_EVERY_S = 16, 10.0
_LEAVE_S = 3.0

# The library logs what `reason` says, and where nobody listens Python prints that.
for _name in ("aiortsp", "rtsp_client", "rtp.session", "pupil_labs"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Neon:
    """A `GazeSource` that is a `HeadSource`, too; waits for a phone that is not there (yet).

    The thread runs from `with` to its end.
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        self._guard = Guard(clock, max_age_ms)
        self._phone = _Phone(host, port, clock)
        self._thread = threading.Thread(target=self._phone.run, name="neon", daemon=True)

    def read(self) -> Sequence[Gaze]:
        return self._guard.admit_all(
            self._phone.gaze.popleft() for _ in range(len(self._phone.gaze))
        )

    def poses(self) -> Sequence[HeadPose]:
        return self._phone.poses.take()

    @property
    def reason(self) -> str | None:
        phone = self._phone
        return phone.trouble or self._guard.reason or phone.poses.reason or phone.untimed

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._phone.leave()
        self._thread.join(_LEAVE_S)


class _Phone:
    """What runs in the thread: asks the phone for its streams, again whenever they are lost.

    gaze     samples that have come, on our clock
    poses    likewise, of the head
    trouble  why nothing comes, `code: sentence`
    untimed  why times may be a little wrong
    """

    def __init__(self, host: str, port: int, clock: Callable[[], int]) -> None:
        self.gaze: deque[Gaze] = deque(maxlen=1024)
        self.poses = Poses(clock)
        self.trouble: str | None = None
        self.untimed: str | None = None
        self._host, self._port = host, port
        self._clock = clock
        self._offset_ns: int | None = None  # from the phone's Unix time to our clock
        self._leaving = threading.Event()

    def run(self) -> None:
        """In the thread, until `leave`."""
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(_ignore)
            runner.run(_while(self._wait(), self._listen()))

    def leave(self) -> None:
        """From another thread."""
        self._leaving.set()

    async def _wait(self) -> None:
        while not self._leaving.is_set():
            await asyncio.sleep(_LOOK_S)

    async def _listen(self) -> None:
        while True:
            try:
                await self._follow()
            except OSError as error:
                self.trouble = (
                    f"no-server: no Companion app answers at {self._host}:{self._port} "
                    f"({type(error).__name__}); is it open, and in this network?"
                )
            except Exception as error:  # by what is no such app, the library is not prepared
                self.trouble = (
                    f"wrong-server: what answers at {self._host}:{self._port} is no Companion app "
                    f"({type(error).__name__})"
                )
            await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        """Until the stream of gaze is lost; raises where there is no phone."""
        async with asyncio.timeout(_PATIENCE_S):
            address = await _resolved(self._host, self._port)
            status = await _status(address, self._port)
        gaze, head = status.direct_gaze_sensor(), status.direct_imu_sensor()
        if gaze is None or gaze.url is None:
            self.trouble = f"no-glasses: the phone at {self._host} has no glasses plugged in"
            return
        echo = TimeOffsetEstimator(address, status.phone.time_echo_port or 0)
        await self._ask_time(echo)
        beside = [self._keep_time(echo)]
        if head is not None and head.url is not None:
            beside.append(self._follow_head(head.url))
        await _while(self._follow_gaze(gaze.url, _scene(status)), *beside)

    async def _follow_gaze(self, url: str, scene: Size) -> None:
        async for datum in receive_gaze_data(url, timeout=_PATIENCE_S):
            self.trouble = None
            x, y = _point(datum)
            time_ns = self._ours(datum.timestamp_unix_ns)
            self.gaze.append(as_gaze(time_ns, x / scene.width, y / scene.height, _trust(datum)))
        self.trouble = f"lost: the phone at {self._host} sends no gaze any more; trying again"

    async def _follow_head(self, url: str) -> None:
        while True:
            with suppress(Exception):  # gaze says it if it concerns the phone
                async for datum in receive_imu_data(url, timeout=_PATIENCE_S):
                    self.poses.add(self._ours(datum.timestamp_unix_ns), *_turn(datum))
            await asyncio.sleep(_AGAIN_S)

    def _ours(self, unix_ns: int) -> int:
        return unix_ns + (self._offset_ns or 0)

    async def _keep_time(self, echo: TimeOffsetEstimator) -> None:
        while True:
            await asyncio.sleep(_ECHOES_EVERY_S)
            await self._ask_time(echo)

    async def _ask_time(self, echo: TimeOffsetEstimator) -> None:
        """The offset by the quickest echoes, whose two ways differ least."""
        answer = None
        with suppress(OSError, ValueError):
            async with asyncio.timeout(_PATIENCE_S):
                answer = await echo.estimate(_ECHOES, time_fn_ms=lambda: self._clock() // 1_000_000)
        if answer is None:
            self.untimed = "no-time-echo: the phone does not tell its time; NTP's is taken for it"
            if self._offset_ns is None:
                self._offset_ns = self._clock() - time.time_ns()
            return
        trips = answer.roundtrip_duration_ms.measurements
        echoes = zip(trips, answer.time_offset_ms.measurements, strict=True)
        quickest = fmean(offset for trip, offset in echoes if trip == min(trips))
        self._offset_ns, self.untimed = round(quickest * 1e6), None


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """A stream whose server goes ends with an error that the library does not collect."""


async def _while(main: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]) -> None:
    """The first of them, with the others beside it for as long."""
    others = [asyncio.create_task(one) for one in beside]
    try:
        await main
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _resolved(host: str, port: int) -> str:
    """As a number. The library's own resolver does not know names in `.local`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    *_, address = min(found)  # IPv4 first
    return str(address[0])


async def _status(address: str, port: int) -> Status:
    async with Device(f"[{address}]" if ":" in address else address, port) as phone:
        return await phone.get_status()


def _scene(status: Status) -> Size:
    generation, _, _ = str(status.hardware.version).partition(".")
    return _INVISIBLE_SCENE if generation == _INVISIBLE else SCENE


def _point(datum: GazeDataType) -> tuple[float, float]:
    """Pixels of the scene camera; where the app gives each eye's, their middle."""
    if isinstance(datum, DualMonocularGazeData):
        return fmean((datum.left.x, datum.right.x)), fmean((datum.left.y, datum.right.y))
    return datum.x, datum.y


def _trust(datum: GazeDataType) -> float:
    lids = (getattr(datum, f"eyelid_aperture_{eye}", inf) for eye in ("left", "right"))
    return float(datum.worn and not max(lids) < _SHUT_MM)


# The IMU's frame is x right, y forward, z up; the scene camera is pitched 102 degrees against it.
# Neon's world is x east, y north, z up, ours x right, y down, z forward.
_CAMERA_TO_IMU = turned((radians(-102), 0.0, 0.0))
_WORLD_TO_OURS = turned((radians(90), 0.0, 0.0))


def _turn(datum: IMUData) -> tuple[Quaternion, Vector]:
    """The camera's orientation in our world, and its angular rate in rad/s."""
    q, gyro = datum.quaternion, datum.gyro_data
    orientation = combined(combined(_WORLD_TO_OURS, (q.x, q.y, q.z, q.w)), _CAMERA_TO_IMU)
    rate = (radians(gyro.x), radians(gyro.y), radians(gyro.z))
    return orientation, rotated(conjugate(_CAMERA_TO_IMU), rate)
