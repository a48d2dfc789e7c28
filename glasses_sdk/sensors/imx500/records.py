"""The records that cross from the camera's process to the loop and back: all there is to cross.

Each is one packet of a pair of local sockets that the two processes are born with. None has a place
for a picture; a mask's bits are checked against its size.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import msgspec

from glasses_sdk.protocols import SensorInfo

__all__ = [
    "Aim",
    "Blank",
    "Fault",
    "Line",
    "Loading",
    "Opened",
    "Record",
    "Saw",
]

_LARGEST = 16_384  # a mask of 256 x 256 cells, and room


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The camera is there and ours; its network is not uploaded yet."""

    info: SensorInfo


class Loading(msgspec.Struct, frozen=True, tag=True):
    """How much of the network is uploaded, 0 to 1; None where nobody can tell."""

    share: float | None


class Saw(msgspec.Struct, frozen=True, tag=True):
    """A mask. `aim`: the newest that was known; `box`, `due` and `kpi` as in `engine.Seen`."""

    number: int
    time_ns: int
    aim: int
    box: tuple[int, int, int, int]
    settling: bool
    elsewhere: bool
    score: float
    bits: bytes
    kpi: tuple[float, float] | None
    due: tuple[int, int, int]


class Blank(msgspec.Struct, frozen=True, tag=True):
    """A frame without a tensor that could be trusted."""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """The end: the name of the error's class, and its sentence."""

    kind: str
    sentence: str


class Aim(msgspec.Struct, frozen=True, tag=True):
    """The region asked for; None: nobody looks."""

    number: int
    box: tuple[float, float, float, float] | None


Record = Opened | Loading | Saw | Blank | Fault | Aim


class Line:
    """One end. `spare`: another descriptor of the far end, to take back what nobody has read."""

    def __init__(self, end: socket.socket, spare: socket.socket | None = None) -> None:
        self._end = end
        self._spare = spare
        self._out = msgspec.msgpack.Encoder()
        self._in: Any = msgspec.msgpack.Decoder(Record)

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, record: Record) -> None:
        """Never blocks; once the far end is gone or has stopped reading, nobody misses it."""
        if isinstance(record, Saw | Fault):
            self._take_back()
        with suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            self._end.send(self._out.encode(record), socket.MSG_DONTWAIT)

    def _take_back(self) -> None:
        """What nobody has read is old, and what is new is to find room."""
        if self._spare is None:
            return
        with suppress(BlockingIOError):
            how = socket.MSG_DONTWAIT
            waiting = self._in.decode(self._spare.recv(_LARGEST, how | socket.MSG_PEEK))
            if isinstance(waiting, Saw | Blank | Loading):
                self._spare.recv(_LARGEST, how)

    def receive(self) -> Record | None:
        """The next record, None when there is none. Raises EOFError once the far end is gone."""
        try:
            packet = self._end.recv(_LARGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            packet = b""
        if not packet:
            raise EOFError
        return self._in.decode(packet)

    def close(self) -> None:
        """Also for the far end, though it holds a `spare` of this one."""
        with suppress(OSError):  # it may be gone already
            self._end.shutdown(socket.SHUT_RDWR)
        for end in filter(None, (self._end, self._spare)):
            end.close()
