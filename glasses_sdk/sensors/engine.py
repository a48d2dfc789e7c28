"""The sensor's end of the way out: an engine, one frame a step, its masks into a pipe.

It runs in a thread of the program or in the locked-in process; this file does not know which.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from glasses_sdk.errors import GlassesError
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.sensors.records import (
    AIM,
    END,
    FAULT,
    Aim,
    Seen,
    hello,
    notice,
    record_size,
    seen_record,
)
from glasses_sdk.types import Roi

__all__ = ["Ends", "Engine", "serve"]


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
        _write(ends.records, hello(None, error))
        return
    try:
        _write(ends.records, hello(engine.info, None))
        _run(engine, ends, lockstep)
    finally:
        engine.close()


def _run(engine: Engine, ends: Ends, lockstep: bool) -> None:
    size = record_size(engine.info.mask)
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
            _write(ends.records, notice(FAULT, _sentence(error), size))
            return
        if seen is None:
            _write(ends.records, notice(END, "", size))
            return
        dropped += seen.seq - seq - 1
        if inbox.aim.number:  # whoever aims has read the hello
            dropped += _discard(ends.unread, size)
        seq = seen.seq
        record = seen_record(seen, inbox.aim.number, dropped, engine.next_ns(), size)
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
        self.aim = Aim(0, -1, None)

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
        record = os.read(self._aims, AIM.size)  # written whole: far below PIPE_BUF
        if len(record) < AIM.size:
            raise BrokenPipeError
        self.aim = Aim.unpack(record)
        return True


def _write(pipe: int, record: bytes) -> None:
    left = memoryview(record)
    while left:
        left = left[os.write(pipe, left) :]
