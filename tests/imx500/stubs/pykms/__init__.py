"""So that picamera2 can be imported without the display library; nothing is drawn here."""

from __future__ import annotations


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_AnyName):
    """Any format that picamera2's table asks for."""
