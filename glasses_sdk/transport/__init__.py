"""Masks over ZeroMQ: the publisher, the subscriber and its asynchronous twin, and control."""

from __future__ import annotations

from glasses_sdk.transport.client import ClockOffset, Control
from glasses_sdk.transport.config import Addresses, StreamConfig, addresses_of
from glasses_sdk.transport.desk import Commands, Desk
from glasses_sdk.transport.publisher import MaskPublisher
from glasses_sdk.transport.subscriber import AsyncMaskSubscriber, MaskSubscriber
from glasses_sdk.wire import GazeState, StreamedMask

__all__ = [
    "Addresses",
    "AsyncMaskSubscriber",
    "ClockOffset",
    "Commands",
    "Control",
    "Desk",
    "GazeState",
    "MaskPublisher",
    "MaskSubscriber",
    "StreamConfig",
    "StreamedMask",
    "addresses_of",
]
