"""Looks at this machine and says what is broken, with one line on how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from glasses_sdk.doctor.computer import (
    camera,
    clock,
    extras,
    isolation,
    ports,
    released,
    versions,
)
from glasses_sdk.doctor.finding import Finding
from glasses_sdk.doctor.raspberry import raspberry
from glasses_sdk.transport import StreamConfig

__all__ = [
    "Finding",
    "camera",
    "clock",
    "examine",
    "extras",
    "isolation",
    "ports",
    "raspberry",
    "released",
]


def examine(stream: str | None = None) -> Iterator[Finding]:
    """Everything, in the order of what stands on what; `stream` is where masks are to be bound."""
    yield from versions()
    yield from released()
    yield from camera()
    yield from raspberry()
    yield isolation()
    yield from ports(stream or StreamConfig().bind)
    yield from clock()
    yield from extras()
