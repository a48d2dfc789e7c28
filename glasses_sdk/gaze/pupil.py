"""Gaze from Pupil Core: Pupil Capture or Service, over its network API.

Plane       0 to 1 of the world camera's picture, origin top left: `norm_pos` with y flipped
Clock       Pupil time, brought to our monotonic clock by asking Pupil Remote for it (`t`)
Confidence  Pupil's own, 0 to 1; 0.6 is what its makers call usable
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, Self

import msgspec
import zmq
from msgspec.msgpack import Decoder

from glasses_sdk.errors import DeviceError
from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, as_gaze
from glasses_sdk.types import Gaze

__all__ = ["HOST", "PORT", "Pupil"]

HOST, PORT = "127.0.0.1", 50020  # of Pupil Remote, unless it was set in Capture

_PATIENCE_NS = 1_000_000_000  # for an answer
_SILENT_NS = 2_000_000_000
_PAUSE_NS = 500_000_000  # between two questions, once the clock is known well
_READINGS = 16
_SET_NS = 100_000_000  # Pupil's clock was set back where it is so much behind
_AT_ONCE = 512  # messages a read
_LARGEST = 1 << 20  # bytes: a datum with all its pupil data has about 5,000

Socket = zmq.Socket[Any]


class Pupil:
    """A `GazeSource` that subscribes to `gaze.`; waits for a Pupil that is not there (yet).

    Raises DeviceError while opening where `host` is a name that nobody knows.
    """

    def __init__(
        self,
        host: str = HOST,
        port: int = PORT,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        self._host = _resolve(host)
        self._clock = clock
        self._guard = Guard(clock, max_age_ms)
        self._context: zmq.Context[Socket] = zmq.Context()
        self._remote = _Remote(self._context, f"tcp://{self._host}:{port}", clock())
        self._gaze: Socket | None = None
        self._gaze_port: int | None = None

    def read(self) -> Sequence[Gaze]:
        self._remote.turn(self._clock())
        if self._remote.gaze_port != self._gaze_port:
            self._subscribe(self._remote.gaze_port)
        return self._guard.admit_all(self._samples())

    @property
    def reason(self) -> str | None:
        return self._remote.reason(self._clock()) or self._guard.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.destroy(linger=0)

    def _subscribe(self, port: int | None) -> None:
        """To the port that this run of Pupil Capture publishes on: another one at each start."""
        if self._gaze:
            self._gaze.close(linger=0)
        self._gaze = _socket(self._context, zmq.SUB, f"tcp://{self._host}:{port}")
        self._gaze.subscribe(b"gaze.")
        self._gaze_port = port

    def _samples(self) -> Iterator[Gaze]:
        offset_ns = self._remote.clock.offset_ns
        for frames in _waiting(self._gaze):
            try:
                datum = _datum.decode(frames[1])
            except (msgspec.MsgspecError, IndexError, RecursionError):
                self._guard.refuse("Pupil's backbone carries what is no gaze datum")
                continue
            if offset_ns is not None:
                x, y = datum.norm_pos
                yield as_gaze(datum.timestamp * 1e9 + offset_ns, x, 1 - y, datum.confidence)


class _Datum(msgspec.Struct):
    """What counts in Pupil's gaze datum; the pupil data that it rests on is skipped."""

    timestamp: float
    norm_pos: tuple[float, float]
    confidence: float


_datum = Decoder(_Datum)


class _Remote:
    """Pupil Remote, asked now for its time, now for the port of its gaze; never waited for."""

    def __init__(self, context: zmq.Context[Socket], address: str, now_ns: int) -> None:
        self.gaze_port: int | None = None
        self.clock = _PupilClock()
        self._context = context
        self._address = address
        self._questions = cycle(["t", "SUB_PORT"])
        self._asked = ""
        self._asked_ns: int | None = None
        self._due_ns = self._heard_ns = now_ns
        self._nonsense: str | None = None
        self._socket = _socket(context, zmq.REQ, address)

    def turn(self, now_ns: int) -> None:
        """Ask when it is time, take the answer when it is there."""
        if self._asked_ns is not None:
            self._hear(now_ns, self._asked_ns)
        elif now_ns >= self._due_ns:
            self._ask(now_ns)

    def reason(self, now_ns: int) -> str | None:
        """Why there is no contact; None while there is."""
        if self._nonsense:
            return f"wrong-server: {self._address} is no Pupil Remote, it says {self._nonsense}"
        if now_ns - self._heard_ns > _SILENT_NS:
            return (
                f"no-server: no Pupil Remote answers at {self._address}; "
                "is Pupil Capture running, with that plugin and port?"
            )
        return None

    def _ask(self, now_ns: int) -> None:
        question = next(self._questions)
        try:
            self._socket.send_string(question, zmq.NOBLOCK)
        except zmq.Again:  # not connected
            return
        self._asked, self._asked_ns = question, now_ns

    def _hear(self, now_ns: int, asked_ns: int) -> None:
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            if now_ns - asked_ns > _PATIENCE_NS:
                self._anew()
            return
        answer = b" ".join(frames).decode(errors="replace")
        self._asked_ns = None
        self._due_ns = now_ns + (_PAUSE_NS if self.clock.known else 0)
        self._nonsense = None if self._understood(answer, asked_ns, now_ns) else repr(answer[:40])
        self._heard_ns = now_ns

    def _understood(self, answer: str, asked_ns: int, heard_ns: int) -> bool:
        try:
            if self._asked == "t":
                self.clock.read(_seconds_ns(answer), asked_ns, heard_ns)
            else:
                self.gaze_port = _port(answer)
        except ValueError:
            return False
        return True

    def _anew(self) -> None:
        """A question whose answer is lost would block a REQ socket for ever."""
        self._socket.close(linger=0)
        self._socket = _socket(self._context, zmq.REQ, self._address)
        self._asked_ns = None


class _PupilClock:
    """The offset from Pupil time to our monotonic clock, from questions for Pupil time.

    Pupil read its clock somewhere between our question and our hearing of the answer. The answer
    waits for the next `read`, the question does not wait: so the offset is that of the quickest
    question of the last 16, too small by its way there, a fraction of a millisecond in one room.
    A reading that this offset would put after its answer was heard says that the clock was set.
    """

    def __init__(self) -> None:
        self._readings: deque[int] = deque(maxlen=_READINGS)

    @property
    def known(self) -> bool:
        return len(self._readings) == _READINGS

    @property
    def offset_ns(self) -> int | None:
        """To be added to Pupil time; None before the first reading."""
        return max(self._readings, default=None)

    def read(self, pupil_ns: int, asked_ns: int, heard_ns: int) -> None:
        """Pupil's clock showed this, at some time from the question to the hearing."""
        known = self.offset_ns
        if known is not None and not asked_ns - _SET_NS <= pupil_ns + known <= heard_ns:
            self._readings.clear()
        self._readings.append(asked_ns - pupil_ns)


def _seconds_ns(answer: str) -> int:
    seconds = float(answer)
    if not 0 <= seconds < 1e12:
        raise ValueError(f"no time: {answer}")
    return round(seconds * 1e9)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(f"no port: {text}")
    return port


def _resolve(host: str) -> str:
    """As a number: libzmq would look a name up for ever, and say nothing."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeviceError(
            f"no machine called {host!r} is known here: check the name or give its address"
        ) from error
    family, *_, address = min(found)  # IPv4 first: Pupil listens there
    return f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0])


def _socket(context: zmq.Context[Socket], kind: int, address: str) -> Socket:
    opened = context.socket(kind)
    options = {
        zmq.IPV6: int("[" in address),
        zmq.LINGER: 0,
        zmq.MAXMSGSIZE: _LARGEST,
        zmq.IMMEDIATE: 1,  # what is asked while nobody is there is not asked later
        zmq.HEARTBEAT_IVL: 1000,
        zmq.HEARTBEAT_TIMEOUT: 3000,
    }
    for option, value in options.items():
        opened.setsockopt(option, value)
    opened.connect(address)
    return opened


def _waiting(subscriber: Socket | None) -> Iterator[list[bytes]]:
    """The messages that have come."""
    if subscriber is None:
        return
    for _ in range(_AT_ONCE):
        try:
            yield subscriber.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
