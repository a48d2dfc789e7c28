"""The records that cross from a host sensor to the loop and back: all there is to cross.

Outwards go one hello and then mask records of one fixed length; inwards go aims. There is no record
that a picture would fit into.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from glasses_sdk.errors import GlassesError
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.types import Bits, Roi, Size

__all__ = [
    "AIM",
    "END",
    "FAULT",
    "HELLO",
    "MASK",
    "SEEN",
    "Aim",
    "Seen",
    "hello",
    "notice",
    "record_size",
    "seen_record",
    "text_of",
]

HELLO = struct.Struct("<H4IQ16s48s7s16s600s")  # fault length, sizes, first frame, names, fault
SEEN = struct.Struct("<BIQqq4iIfH")  # kind, aim, seq, time, next, roi, dropped, score, text
AIM = struct.Struct("<IqB4d")  # number, newest mask seen, whether there is a region, region
MASK, FAULT, END = 1, 2, 3
TEXT = 400


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What an engine saw in one frame. `roi` is in whole pixels inside the sensor."""

    bits: Bits
    roi: Roi
    score: float
    time_ns: int
    seq: int


@dataclass(frozen=True, slots=True)
class Aim:
    """The region asked for, and the newest mask that was known then."""

    number: int
    newest_seen: int
    roi: Roi | None

    def pack(self) -> bytes:
        roi = self.roi or Roi(0, 0, 1, 1)
        box = (roi.left, roi.top, roi.width, roi.height)
        return AIM.pack(self.number, self.newest_seen, self.roi is not None, *box)

    @classmethod
    def unpack(cls, record: bytes) -> Aim:
        number, seen, there, *box = AIM.unpack(record)
        return cls(number, seen, Roi(*box) if there else None)


def record_size(cells: Size) -> int:
    """Bytes of a mask record; a notice is as long."""
    return SEEN.size + max(cells.height * ((cells.width + 7) // 8), TEXT)


def seen_record(seen: Seen, aim: int, dropped: int, next_ns: int, size: int) -> bytes:
    """What was seen, for the aim of this number."""
    roi = seen.roi
    box = (int(roi.left), int(roi.top), int(roi.width), int(roi.height))
    head = SEEN.pack(
        MASK, aim, seen.seq, seen.time_ns, next_ns, *box, dropped & 0xFFFFFFFF, seen.score, 0
    )
    return (head + np.packbits(seen.bits, axis=1).tobytes()).ljust(size, b"\0")


def notice(kind: int, text: str, size: int) -> bytes:
    """The recording ended (END), or something broke (FAULT)."""
    words = text.encode()[:TEXT]
    return (SEEN.pack(kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, len(words)) + words).ljust(size, b"\0")


def hello(info: SensorInfo | None, error: GlassesError | None) -> bytes:
    """What the sensor is, or what it could not open with."""
    fault = f"{type(error).__name__}: {error}".encode()[:600] if error else b""
    if info is None:
        return HELLO.pack(len(fault), 0, 0, 0, 0, 0, b"", b"", b"", b"", fault)
    return HELLO.pack(
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


def text_of(record: bytes) -> str:
    """The words of a notice."""
    length = SEEN.unpack_from(record)[-1]
    return record[SEEN.size : SEEN.size + length].decode(errors="replace")
