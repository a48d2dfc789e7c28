"""The subscriber and its asynchronous twin: a feed behind a socket, waited for in two ways."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from glasses_sdk.errors import StreamError
from glasses_sdk.transport.client import ClockOffset, Control
from glasses_sdk.transport.config import addresses_of
from glasses_sdk.transport.feed import Feed, Link
from glasses_sdk.transport.sockets import HEARTBEAT, Socket
from glasses_sdk.types import Mask
from glasses_sdk.wire import Calibration, Status, StreamedMask

__all__ = ["AsyncMaskSubscriber", "MaskSubscriber"]

_HIGH_WATER = 64
_FULL = _HIGH_WATER // 2  # libzmq counts what was read in halves: so few can be all it holds
_ALL = 1000
_CATCH_UP_NS = 100_000_000  # even a flood is left at last
_QUIET_MS = 10
_NOW = int(zmq.NOBLOCK)  # as an enum, pyzmq takes longer over it than over the message
_KINDS = ("mask", "status", "calibration")
_LINKS: dict[int, Link] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "up",
    zmq.EVENT_DISCONNECTED: "down",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "refused",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "refused",
}


class _Subscription:
    """The socket, its monitor and the feed: all but the waiting."""

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5570",
        device: str | None = None,
        every: bool = False,
    ) -> None:
        self._address = address
        self._every = every
        self._offset_ns: int | None = None
        self._feed = Feed(address, device, every, time.monotonic_ns())
        self._context = zmq.Context()
        try:
            self._socket = self._connected(device)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    @property
    def status(self) -> Status | None:
        """The last status, None before the first."""
        return self._feed.status

    @property
    def calibration(self) -> Calibration | None:
        """The last calibration, None before the first."""
        return self._feed.calibration

    @property
    def dropped(self) -> int:
        """Frames lost on the way in this session, by the gaps in `seq`."""
        return self._feed.dropped

    @property
    def malformed(self) -> int:
        """Messages that were not of the protocol and were passed over."""
        return self._feed.malformed

    @property
    def stale(self) -> str | None:
        """Why no mask has come for 3 s, as StaleStream's `reason`; None while all is well."""
        self._drain()
        self._hear()
        reason = self._feed.stale(time.monotonic_ns())
        return reason and reason.reason

    def latest(self) -> StreamedMask | None:
        """The newest mask that was not given yet, None where there is none.

        Never waits for a mask (after a pause so long that the queue filled up, it takes up to
        0.1 s to come to its end) and never raises StaleStream: `stale` says why nothing comes.
        """
        self._hear()
        mask = newest = self._take()
        while newest is not None:
            mask, newest = newest, self._take()
        return mask

    def age_ms(self, mask: Mask) -> float:
        """How long ago this mask's exposure was.

        By the offset of `synchronise`; before that by the clocks in the last status, which is
        right on one host and as good as NTP between two.
        """
        return (time.monotonic_ns() + self._offset() - mask.time_ns) / 1e6

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.disable_monitor()
        self._context.destroy(linger=0)

    def _connected(self, device: str | None) -> Socket:
        socket = self._context.socket(zmq.SUB)
        options = {zmq.RCVHWM: _ALL if self._every else _HIGH_WATER, zmq.RECONNECT_IVL: 100}
        limits = {zmq.CONNECT_TIMEOUT: 3000}
        limits[zmq.IPV6] = int("[" in self._address)
        for option, value in {**HEARTBEAT, **options, **limits}.items():
            socket.setsockopt(option, value)
        for kind in _KINDS:
            socket.subscribe(f"g1.{kind}.{device or ''}")
        self._monitor = socket.get_monitor_socket(sum(_LINKS))
        try:
            socket.connect(self._address)
        except zmq.ZMQError as error:
            socket.disable_monitor()
            raise StreamError(f"cannot connect to {self._address}: {error.strerror}") from error
        return socket

    def _drain(self) -> None:
        """All that waits goes to the feed; of a subscriber to every mask, up to the next one."""
        if self._read_some() < _FULL:
            return
        end_ns = time.monotonic_ns() + _CATCH_UP_NS
        # The queue was full: newer messages wait behind it, for libzmq's own thread to bring them
        while time.monotonic_ns() < end_ns and self._socket.poll(_QUIET_MS):
            self._read_some()

    def _hear(self) -> None:
        """What became of the connection. Not asked for while masks come: nobody would be told."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            self._feed.link(_LINKS[event["event"]])

    def _read_some(self) -> int:
        for count in range(_HIGH_WATER):
            if self._every and self._feed.waiting:
                return 0
            try:
                frames = self._receive(_NOW)
            except zmq.Again:
                return count
            self._feed.frames(frames, time.monotonic_ns())
        return _HIGH_WATER

    def _receive(self, flags: int = 0) -> list[bytes]:
        """One message: `recv_multipart`, at a third of its price."""
        frame = self._socket.recv(flags, copy=False)
        frames = [frame.bytes]
        while frame.more:
            frame = self._socket.recv(copy=False)
            frames.append(frame.bytes)
        return frames

    def _take(self) -> StreamedMask | None:
        self._drain()
        return self._feed.take()

    def _raise_if_late(self, deadline_ns: int | None) -> None:
        """StaleStream where nothing has come for too long, TimeoutError after the deadline."""
        self._hear()
        now_ns = time.monotonic_ns()
        if stale := self._feed.stale(now_ns):
            self._feed.wait_again(now_ns)
            raise stale
        if deadline_ns is not None and now_ns >= deadline_ns:
            raise TimeoutError(f"no mask from {self._address} in the time given")

    def _wait_ms(self, deadline_ns: int | None) -> int:
        """How long until something must be told, if nothing comes before."""
        now_ns = time.monotonic_ns()
        until_ns = self._feed.due_ns()
        if deadline_ns is not None:
            until_ns = min(until_ns, deadline_ns)
        return max((until_ns - now_ns) // 1_000_000 + 1, 1)

    def _offset(self) -> int:
        if self._offset_ns is not None:
            return self._offset_ns
        theirs = self._feed.reboot_ns
        if theirs is None:
            return 0
        return (time.time_ns() - time.monotonic_ns()) - theirs

    def _estimate(self) -> ClockOffset:
        with Control(addresses_of(self._address).control) as control:
            return control.clock()


class MaskSubscriber(_Subscription):
    """Masks from a publisher: iterate, `recv` or `latest`. Open when built, closed by `with`.

    It drains to the newest mask; with `every`, it gives each one that was not lost on the way.
    `device` chooses one of several behind the same address.
    """

    def recv(self, timeout: float | None = None) -> StreamedMask:
        """The next mask, in at most `timeout` seconds.

        Raises StaleStream where nothing has come for 3 s, and again every 3 s; TimeoutError where
        the timeout ends before that. Either way the next call goes on as if nothing had been.
        """
        deadline_ns = _deadline(timeout)
        self._drain()
        while (mask := self._feed.take()) is None:
            self._raise_if_late(deadline_ns)
            self._await_one(self._wait_ms(deadline_ns))
        return mask

    def synchronise(self) -> ClockOffset:
        """Measure the offset of the clocks over the control socket, for `age_ms`."""
        measured = self._estimate()
        self._offset_ns = measured.offset_ns
        return measured

    def _await_one(self, wait_ms: int) -> None:
        """The next message goes to the feed, where one comes in time; no poller is as fast."""
        self._socket.setsockopt(zmq.RCVTIMEO, wait_ms)
        try:
            frames = self._receive()
        except zmq.Again:
            return
        self._feed.frames(frames, time.monotonic_ns())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamedMask:
        return self.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncMaskSubscriber(_Subscription):
    """`MaskSubscriber` for asyncio: `async with`, `async for`, `await recv()`."""

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5570",
        device: str | None = None,
        every: bool = False,
    ) -> None:
        super().__init__(address, device, every)
        self._poller: Any = zmq.asyncio.Poller()
        self._poller.register(self._socket, zmq.POLLIN)

    async def recv(self, timeout: float | None = None) -> StreamedMask:
        """As `MaskSubscriber.recv`."""
        deadline_ns = _deadline(timeout)
        while (mask := self._take()) is None:
            self._raise_if_late(deadline_ns)
            await self._poller.poll(self._wait_ms(deadline_ns))
        return mask

    async def synchronise(self) -> ClockOffset:
        """As `MaskSubscriber.synchronise`, in a thread of its own."""
        measured = await asyncio.to_thread(self._estimate)
        self._offset_ns = measured.offset_ns
        return measured

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamedMask:
        return await self.recv()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()


def _deadline(timeout: float | None) -> int | None:
    return None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)
