"""The loop's end of the way out of a host sensor: aims into one pipe, masks out of the other.

Pipes, not sockets, so that the process with the camera needs no socket at all.
"""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress
from typing import Literal

import numpy as np

from glasses_sdk.errors import DeviceError, DeviceLost, RecordingEnded
from glasses_sdk.geometry import visible
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.sensors.engine import Ends
from glasses_sdk.sensors.records import END, HELLO, MASK, SEEN, Aim, record_size, text_of
from glasses_sdk.types import Mask, Roi, Size

__all__ = ["Hangup", "Link", "pipes"]


class Hangup(DeviceLost):
    """The sensor's end hung up without a word."""


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
        self._size = record_size(self.info.mask)

    def fileno(self) -> int:
        return self._records

    def aim(self, roi: Roi | None) -> None:
        """Send the region; a sensor that has gone is found out by `read`."""
        self._number += 1
        self._asked = visible(roi, self.info.size) if roi else None
        record = Aim(self._number, self._newest_seen, self._asked).pack()
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
            if record[0] != MASK:
                if newest is not None:
                    self._partial = record + self._partial
                    break
                if record[0] == END:
                    self._ended = True
                    raise RecordingEnded("the recording has ended")
                raise DeviceLost(text_of(record))
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
        _, aim, seq, time_ns, next_ns, *box, dropped, score, _ = SEEN.unpack_from(record)
        cells = self.info.mask
        row = (cells.width + 7) // 8
        packed = np.frombuffer(record, np.uint8, row * cells.height, SEEN.size)
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


def _read_hello(records: int, seconds: float) -> SensorInfo:
    if not select.select([records], [], [], seconds)[0]:
        raise DeviceError(f"the sensor has not opened within {seconds:.0f} s")
    record = os.read(records, HELLO.size)
    if len(record) < HELLO.size:
        raise Hangup("the sensor's process died while opening")
    fault, w, h, mask_w, mask_h, first, kind, model, isolation, tensor, text = HELLO.unpack(record)
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
