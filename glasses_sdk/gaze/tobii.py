"""Gaze from Tobii Pro Glasses 2: their livedata, JSON over UDP, for as long as it is asked for.

Plane       0 to 1 of the scene camera's picture (1920x1080), origin top left
Clock       the glasses' own microseconds, brought to our monotonic clock by the packets that came
            quickest; late by what the network takes at its best
Confidence  1 where the glasses call the sample valid (`s` is 0), else 0
Head        the gyroscope, levelled by the accelerometer; its heading drifts
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import hypot, nan, radians
from typing import Annotated, Any, Self

import msgspec

from glasses_sdk.errors import DeviceError
from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, as_gaze
from glasses_sdk.gaze.poses import Poses, Vector, combined, rotated, turned
from glasses_sdk.turning import Quaternion
from glasses_sdk.types import Gaze, HeadPose

__all__ = ["HOST", "PORT", "Tobii"]

HOST = "192.168.71.50"  # of the recording unit in its own Wi-Fi
PORT = 49152

_ASK_NS = 1_000_000_000  # the unit stops sending to whoever has not asked for a few seconds
_SILENT_NS = 2_000_000_000
_AT_ONCE = 4096  # packets a read; 600 come in a second
_LARGEST = 65536
_FASTEST_DEG_S = 1e4  # no head turns so fast, nor could the gyroscope say it
_ROOM = 1 << 20  # bytes in the kernel: gaze of more than a second


class Tobii:
    """A `GazeSource` that is a `HeadSource`, too; waits for glasses that are not there (yet).

    One socket that is never waited for, no thread. Raises DeviceError while opening where `host`
    is a name that nobody knows.
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        family, self._unit = _resolve(host, port)
        self._clock = clock
        self._guard = Guard(clock, max_age_ms)
        self._glasses = _GlassesClock()
        self._attitude = _Attitude()
        self._gaze: deque[Gaze] = deque(maxlen=_AT_ONCE)
        self._poses = Poses(clock)
        self._unreachable: str | None = None
        self._asked_ns: int | None = None
        self._heard_ns = clock()
        key = {"type": "live.data.unicast", "key": str(uuid.uuid4()), "op": "start"}
        self._request = json.dumps(key).encode()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)

    def read(self) -> Sequence[Gaze]:
        self._receive()
        fresh = [self._gaze.popleft() for _ in range(len(self._gaze))]
        return self._guard.admit_all(fresh)

    def poses(self) -> Sequence[HeadPose]:
        self._receive()
        return self._poses.take()

    @property
    def reason(self) -> str | None:
        if self._unreachable:
            return self._unreachable
        if self._clock() - self._heard_ns > _SILENT_NS:
            return (
                f"no-server: no Tobii Pro Glasses 2 answer at {self._unit[0]}, port "
                f"{self._unit[1]}; are they on, and is this machine in their network?"
            )
        return self._guard.reason or self._poses.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def _receive(self) -> None:
        """What has come since the last time, and the question for more."""
        now_ns = self._clock()
        if self._asked_ns is None or now_ns - self._asked_ns >= _ASK_NS:
            self._ask()
            self._asked_ns = now_ns
        data = list(self._data())
        for datum in data:  # of what came together, the last was the quickest
            self._glasses.hear((datum.ts + datum.latency) * 1000, now_ns)
        for datum in data:
            self._take(datum)

    def _ask(self) -> None:
        try:
            self._socket.sendto(self._request, self._unit)
            self._unreachable = None
        except OSError as error:
            self._unreachable = (
                f"unreachable: there is no way to {self._unit[0]} ({error.strerror}); "
                "join the glasses' network"
            )

    def _data(self) -> Iterator[_Datum]:
        for packet in self._packets():
            for line in packet.splitlines():
                try:
                    yield _datum.decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    self._guard.refuse("what comes from the Tobii's address is no livedata")

    def _packets(self) -> Iterator[bytes]:
        for _ in range(_AT_ONCE):
            try:
                packet, sender = self._socket.recvfrom(_LARGEST)
            except OSError:  # nothing more; or an earlier question could not be delivered
                return
            if sender[0] == self._unit[0]:
                self._heard_ns = self._clock()
                yield packet

    def _take(self, datum: _Datum) -> None:
        time_ns = self._glasses.ours(datum.ts * 1000)
        valid = datum.s == 0
        if datum.gp is not None:
            x, y = datum.gp if valid else (nan, nan)
            self._gaze.append(as_gaze(time_ns, x, y, 1.0))
        elif datum.gy is not None and valid and max(map(abs, datum.gy)) < _FASTEST_DEG_S:
            rate = _to_head([radians(part) for part in datum.gy])
            self._poses.add(time_ns, self._attitude.turn(time_ns, rate), rate)
        elif datum.ac is not None and valid:
            self._attitude.level(_to_head(datum.ac))


_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
_Triple = tuple[float, float, float]


class _Datum(msgspec.Struct):
    """One line; what it is about is the key that it has.

    ts       when it was measured, µs of the glasses' clock; for gaze, when the eyes were exposed
    s        0: valid
    latency  from then until it was sent, µs; told of gaze only
    gp       gaze, 0 to 1 of the scene camera's picture
    gy       angular rate, degrees a second; x left, y up, z forward
    ac       where gravity pulls, m/s², in the same frame
    """

    ts: _Number
    s: int = 0
    latency: _Number = msgspec.field(name="l", default=0)
    gp: tuple[float, float] | None = None
    gy: _Triple | None = None
    ac: _Triple | None = None


_datum = msgspec.json.Decoder(_Datum)


def _to_head(vector: Sequence[float]) -> Vector:
    """From x left, y up, z forward to x right, y down, z forward."""
    x, y, z = vector
    return -x, -y, z


class _GlassesClock:
    """The offset from the glasses' clock to ours: that of the packet that came quickest.

    A packet comes after it was sent, so that each bounds the offset from above. The bound rises by
    100 µs a second, more than two quartz clocks drift apart, so that an old one does not stand for
    ever; it is forgotten when packets have stayed away, since the glasses may have been restarted.
    """

    _RISE = 1e-4
    _JUMP_NS = 2_000_000_000
    _LATE_NS = 100_000_000  # no packet is on its way for longer, second after second
    _DOUBT_NS = 1_000_000_000

    def __init__(self) -> None:
        self._offset_ns: float | None = None
        self._came_ns = 0
        self._odd_ns: int | None = None  # since when no packet agrees with the offset
        self._bound_ns = 0  # the least of those

    def hear(self, sent_ns: int, came_ns: int) -> None:
        """A packet. Where all that come in a second disagree, the glasses' clock was set."""
        since_ns, self._came_ns = came_ns - self._came_ns, came_ns
        bound = came_ns - sent_ns
        if self._offset_ns is None or since_ns > _SILENT_NS:
            self._offset_ns = bound
        else:
            self._offset_ns += self._RISE * since_ns
        behind = bound - self._offset_ns
        if -self._JUMP_NS < behind < self._LATE_NS:
            self._offset_ns, self._odd_ns = min(self._offset_ns, bound), None
            return
        if self._odd_ns is None:
            self._odd_ns, self._bound_ns = came_ns, bound
        self._bound_ns = min(self._bound_ns, bound)
        if came_ns - self._odd_ns >= self._DOUBT_NS:
            self._offset_ns, self._odd_ns = self._bound_ns, None

    def ours(self, time_ns: int) -> int:
        return time_ns + round(self._offset_ns or 0)


class _Attitude:
    """Which way the head is turned: the sum of its angular rates, with gravity pulling it level.

    A complementary filter: in the short run the gyroscope counts, in the long run (some seconds)
    the accelerometer, which says where down is but nothing of the heading. It begins at 0.
    """

    _PULL = 0.01  # of the tilt that is left, a sample of gravity; 100 come in a second
    _PAUSE_NS = 200_000_000  # over a longer one nobody knows how the head has turned

    def __init__(self) -> None:
        self._orientation: Quaternion = (0.0, 0.0, 0.0, 1.0)
        self._time_ns: int | None = None
        self._level = False

    def turn(self, time_ns: int, rate: Vector) -> Quaternion:
        """The orientation after this sample: rad/s about the head's own axes."""
        since_ns = 0 if self._time_ns is None else time_ns - self._time_ns
        self._time_ns = time_ns
        if 0 < since_ns <= self._PAUSE_NS:
            x, y, z = (part * since_ns / 1e9 for part in rate)
            self._orientation = _unit(combined(self._orientation, turned((x, y, z))))
        return self._orientation

    def level(self, gravity: Vector) -> None:
        """Down in the head's frame; only while the head is not shaken, when it is only gravity."""
        strength = hypot(*gravity)
        if not 8 < strength < 12:
            return
        x, y, z = (part / strength for part in rotated(self._orientation, gravity))
        pull = self._PULL if self._level else 1.0
        # v x d and 1 + v d make the shortest turn from v to d, here down, (0, 1, 0).
        way = (-pull * z, 0.0, pull * x, 1 + y) if y > -0.99 else (1.0, 0.0, 0.0, 0.0)
        self._orientation = _unit(combined(_unit(way), self._orientation))
        self._level = True


def _unit(q: Quaternion) -> Quaternion:
    length = hypot(*q)
    x, y, z, w = (part / length for part in q)
    return x, y, z, w


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise DeviceError(
            f"no machine called {host!r} is known here: check the name or give its address"
        ) from error
    family, *_, address = found[0]
    return family, address
