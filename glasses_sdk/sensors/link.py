"""The way out of a host sensor: fixed-size records over a pipe, and nothing else.

Camera and network work on one end (a thread, or the locked-in child process), the loop sits on the
other. Inwards go aims, outwards one hello and then mask records, all of one length: there is no
record that a picture would fit into. Pipes, not sockets, so that the process with the camera needs
no socket at all.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from glasses_sdk.errors import DeviceError, DeviceLost, GlassesError, RecordingEnded
from glasses_sdk.geometry import visible
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.types import Bits, Mask, Roi, Size

__all__ = ["Ends", "Engine", "Hangup", "Link", "Seen", "pipes", "serve"]

_HELLO = struct.Struct("<H4IQ16s48s7s16s600s")  # fault length, sizes, first frame, names, fault
_SEEN = struct.Struct("<BIQqq4iIfH")  # kind, aim, seq, time, next, roi, dropped, score, text
_AIM = struct.Struct("<IqB4d")  # number, newest mask seen, whether there is a region, region
_MASK, _FAULT, _END = 1, 2, 3
_TEXT = 400


class Hangup(DeviceLost):
    """The sensor's end hung up without a word."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What an engine saw in one frame. `roi` is in whole pixels inside the sensor."""

    bits: Bits
    roi: Roi
    score: float
    time_ns: int
    seq: int


class Engine(Protocol):
    """Camera and network, one frame a step."""

    info: SensorInfo

    def step(self, aim: Callable[[], Roi | None]) -> Seen | None:
        """The next frame's mask; blocks. None: the recording ended.

        `aim` is asked once the frame is there, so that the latest look counts.
        """
        ...

    def next_ns(self) -> int:
        """When the next frame is due."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Aim:
    number: int
    newest_seen: int
    roi: Roi | None

    def pack(self) -> bytes:
        roi = self.roi or Roi(0, 0, 1, 1)
        box = (roi.left, roi.top, roi.width, roi.height)
        return _AIM.pack(self.number, self.newest_seen, self.roi is not None, *box)

    @classmethod
    def unpack(cls, record: bytes) -> _Aim:
        number, seen, there, *box = _AIM.unpack(record)
        return cls(number, seen, Roi(*box) if there else None)


# The sensor's end


class Ends(NamedTuple):
    """The sensor's descriptors: aims to read, records to write, records that nobody has read."""

    aims: int
    records: int
    unread: int


def serve(open_engine: Callable[[], Engine], ends: Ends, lockstep: bool) -> None:
    """Run an engine until its recording or the other end's interest ends.

    In lockstep each frame waits for an aim that was made after the mask before it was seen.
    Errors travel as records: this never raises one of ours. Owns the descriptors.
    """
    try:
        _serve(open_engine, ends, lockstep)
    except BrokenPipeError:
        pass  # nobody listens any more
    finally:
        for pipe in ends:
            os.close(pipe)


def _serve(open_engine: Callable[[], Engine], ends: Ends, lockstep: bool) -> None:
    try:
        engine = open_engine()
    except GlassesError as error:
        _write(ends.records, _hello(None, error))
        return
    try:
        _write(ends.records, _hello(engine.info, None))
        _run(engine, ends, lockstep)
    finally:
        engine.close()


def _run(engine: Engine, ends: Ends, lockstep: bool) -> None:
    size = _record_size(engine.info.mask)
    inbox = _Inbox(ends.aims)
    seq, dropped = -1, 0
    while True:
        if lockstep:
            inbox.wait_for(seq)
        try:
            seen = engine.step(inbox.roi)
        except BrokenPipeError:
            raise
        except Exception as error:
            _write(ends.records, _notice(_FAULT, _sentence(error), size))
            return
        if seen is None:
            _write(ends.records, _notice(_END, "", size))
            return
        dropped += seen.seq - seq - 1
        if inbox.aim.number:  # whoever aims has read the hello
            dropped += _discard(ends.unread, size)
        seq = seen.seq
        record = _seen(seen, inbox.aim.number, dropped, engine.next_ns(), size)
        _write(ends.records, record)


def _sentence(error: Exception) -> str:
    """Ours speak for themselves; a library's gets its name."""
    return str(error) if isinstance(error, GlassesError) else f"{type(error).__name__}: {error}"


def _discard(unread: int, size: int) -> int:
    """Take back the mask that nobody has read yet, for the newest wins: how many, 0 or 1.

    Only records that a pipe moves as a whole (PIPE_BUF) can be taken back; of larger masks two or
    three may wait.
    """
    if size > select.PIPE_BUF:
        return 0
    with suppress(BlockingIOError):
        return int(len(os.read(unread, size)) == size)
    return 0


class _Inbox:
    """The newest aim that has come. Raises BrokenPipeError once the other end has gone."""

    def __init__(self, aims: int) -> None:
        self._aims = aims
        self.aim = _Aim(0, -1, None)

    def roi(self) -> Roi | None:
        while self._take(timeout=0):
            pass
        return self.aim.roi

    def wait_for(self, seq: int) -> None:
        """Until there is an aim that was made once mask `seq` had been seen."""
        while self.aim.number == 0 or self.aim.newest_seen < seq:
            self._take(timeout=None)

    def _take(self, timeout: float | None) -> bool:
        if not select.select([self._aims], [], [], timeout)[0]:
            return False
        record = os.read(self._aims, _AIM.size)  # written whole: far below PIPE_BUF
        if len(record) < _AIM.size:
            raise BrokenPipeError
        self.aim = _Aim.unpack(record)
        return True


def _write(pipe: int, record: bytes) -> None:
    left = memoryview(record)
    while left:
        left = left[os.write(pipe, left) :]


def _record_size(cells: Size) -> int:
    return _SEEN.size + max(cells.height * ((cells.width + 7) // 8), _TEXT)


def _seen(seen: Seen, aim: int, dropped: int, next_ns: int, size: int) -> bytes:
    roi = seen.roi
    box = (int(roi.left), int(roi.top), int(roi.width), int(roi.height))
    head = _SEEN.pack(
        _MASK, aim, seen.seq, seen.time_ns, next_ns, *box, dropped & 0xFFFFFFFF, seen.score, 0
    )
    return (head + np.packbits(seen.bits, axis=1).tobytes()).ljust(size, b"\0")


def _notice(kind: int, text: str, size: int) -> bytes:
    words = text.encode()[:_TEXT]
    return (_SEEN.pack(kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, len(words)) + words).ljust(size, b"\0")


def _hello(info: SensorInfo | None, error: GlassesError | None) -> bytes:
    fault = f"{type(error).__name__}: {error}".encode()[:600] if error else b""
    if info is None:
        return _HELLO.pack(len(fault), 0, 0, 0, 0, 0, b"", b"", b"", b"", fault)
    return _HELLO.pack(
        0,
        info.size.width,
        info.size.height,
        info.mask.width,
        info.mask.height,
        info.first_frame_ns,
        info.kind.encode(),
        info.model.encode(),
        info.isolation.encode(),
        info.input_tensor.encode(),
        b"",
    )


# The loop's end


class Link:
    """The loop's end of a pair of pipes: waits for the hello, then reads masks, never blocking.

    Owns both descriptors. Raises what the engine could not open with, or DeviceError.
    """

    def __init__(self, aims: int, records: int, hello_seconds: float, lockstep: bool) -> None:
        self._aims = aims
        self._records = records
        self._lockstep = lockstep
        self._number = 0
        self._asked: Roi | None = None
        self._newest_seen = -1
        self._next_ns = 0
        self.dropped = 0
        self._partial = b""
        self._ended = False
        try:
            self.info = _read_hello(records, hello_seconds)
        except BaseException:
            self.close()
            raise
        self._next_ns = self.info.first_frame_ns
        self._size = _record_size(self.info.mask)

    def fileno(self) -> int:
        return self._records

    def aim(self, roi: Roi | None) -> None:
        """Send the region; a sensor that has gone is found out by `read`."""
        self._number += 1
        self._asked = visible(roi, self.info.size) if roi else None
        record = _Aim(self._number, self._newest_seen, self._asked).pack()
        with suppress(BrokenPipeError):
            os.write(self._aims, record)

    @property
    def next_ns(self) -> int:
        return self._next_ns

    def read(self) -> Mask | None:
        """The newest whole record's mask. Raises DeviceLost at the end, with the reason."""
        newest: bytes | None = None
        if self._ended:
            raise RecordingEnded("the recording has ended")
        while record := self._record():
            if record[0] != _MASK:
                if newest is not None:
                    self._partial = record + self._partial
                    break
                if record[0] == _END:
                    self._ended = True
                    raise RecordingEnded("the recording has ended")
                raise DeviceLost(_text(record))
            newest = record
        return self._mask(newest) if newest else None

    def _record(self) -> bytes | None:
        if len(self._partial) < self._size:
            try:
                piece = os.read(self._records, self._size - len(self._partial))
            except BlockingIOError:
                return None
            if not piece:
                raise Hangup("the sensor's process has died")
            self._partial += piece
        if len(self._partial) < self._size:
            return None
        record, self._partial = self._partial[: self._size], self._partial[self._size :]
        return record

    def _mask(self, record: bytes) -> Mask:
        _, aim, seq, time_ns, next_ns, *box, dropped, score, _ = _SEEN.unpack_from(record)
        cells = self.info.mask
        row = (cells.width + 7) // 8
        packed = np.frombuffer(record, np.uint8, row * cells.height, _SEEN.size)
        bits = np.unpackbits(packed.reshape(cells.height, row), axis=1, count=cells.width)
        self._newest_seen, self._next_ns, self.dropped = seq, next_ns, dropped
        roi = Roi(*box)
        settling = aim != self._number and self._asked is not None and self._asked != roi
        state: Literal["settling", "stable"] = "settling" if settling else "stable"
        return Mask(
            bits=bits.view(np.bool_),
            roi=roi,
            sensor=self.info.size,
            time_ns=time_ns,
            seq=seq,
            score=min(max(score, 0.0), 1.0),
            roi_state=state,
        )

    def close(self) -> None:
        """Tells the other end, by hanging up."""
        for pipe in (self._aims, self._records):
            os.close(pipe)

    def health(self) -> Health:
        return Health("streaming", dropped=self.dropped)


def _text(record: bytes) -> str:
    length = _SEEN.unpack_from(record)[-1]
    return record[_SEEN.size : _SEEN.size + length].decode(errors="replace")


def _read_hello(records: int, seconds: float) -> SensorInfo:
    if not select.select([records], [], [], seconds)[0]:
        raise DeviceError(f"the sensor has not opened within {seconds:.0f} s")
    record = os.read(records, _HELLO.size)
    if len(record) < _HELLO.size:
        raise Hangup("the sensor's process died while opening")
    fault, w, h, mask_w, mask_h, first, kind, model, isolation, tensor, text = _HELLO.unpack(record)
    if fault:
        _raise(text[:fault].decode(errors="replace"))
    return SensorInfo(
        kind=_name(kind),
        size=Size(w, h),
        mask=Size(mask_w, mask_h),
        model=_name(model),
        isolation=_name(isolation),  # pyright: ignore[reportArgumentType]
        input_tensor=_name(tensor),  # pyright: ignore[reportArgumentType]
        first_frame_ns=first,
    )


def _name(field: bytes) -> str:
    return field.rstrip(b"\0").decode()


def _raise(fault: str) -> None:
    from glasses_sdk import errors

    kind, _, sentence = fault.partition(": ")
    raise getattr(errors, kind, DeviceError)(sentence)


def pipes() -> tuple[Ends, int, int]:
    """Two pipes: the sensor's ends, and the loop's (aims to write, records to read).

    The outward one is as short as a pipe can be: what nobody has read yet is old.
    """
    aims_in, aims_out = os.pipe()
    records_in, records_out = os.pipe()
    fcntl.fcntl(records_out, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(records_in, False)
    return Ends(aims_in, records_out, os.dup(records_in)), aims_out, records_in
