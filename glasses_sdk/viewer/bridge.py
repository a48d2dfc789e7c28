"""The bridge to browsers: payloads out as they are, control requests back, the page over HTTP.

To the publisher it is a client like any other; to a browser it is one WebSocket. It decodes no
payload, so that it has nothing to alter.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Annotated, Any, Self, TypeVar

import msgspec
import zmq
import zmq.asyncio

from glasses_sdk.errors import ConfigError, StreamError, WireError

try:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    from glasses_sdk.viewer.site import answer, listen, origins
except ModuleNotFoundError as error:
    raise ConfigError(
        "the viewer needs the package websockets: pip install 'glasses-sdk[view]'"
    ) from error

__all__ = ["Bridge"]

_KINDS = ("status", "calibration", "mask", "gaze")
_KEPT = ("status", "calibration")  # a browser that comes later is told at once
_POINTER = "g1.in.gaze.pointer"
_REQUEST_BYTES = 4096
_PATIENCE_S = 2  # for a browser to say hello or goodbye: closing takes no longer
_CONTROL_MS = 500

_LOG = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())  # a browser's nonsense is not our user's stderr


class _Head(msgspec.Struct):
    op: str
    id: int | str | None = None


_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Look(msgspec.Struct):
    x: _Fraction
    y: _Fraction


_Asked = TypeVar("_Asked")

_HEAD = msgspec.msgpack.Decoder(_Head)
_LOOK = msgspec.msgpack.Decoder(_Look)


class Bridge:
    """Serves the viewer on loopback in a thread of its own; open once built, closed by `with`.

    stream, control, inlet  the publisher's three addresses; it may come and go meanwhile
    host                    a loopback address
    port                    0 takes a free one: `url` says which

    Raises StreamError for a host beyond loopback, a port in use or an impossible address.
    """

    def __init__(
        self, stream: str, control: str, inlet: str, host: str = "127.0.0.1", port: int = 5580
    ) -> None:
        self._listener = listen(host, port)
        self._port: int = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"
        self._addresses = stream, control, inlet
        self._opened: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(target=self._run, name="glasses-viewer", daemon=True)
        self._thread.start()
        if failure := self._opened.exception():
            self._thread.join()
            raise failure
        self._stop = self._opened.result()

    def close(self) -> None:
        """Says goodbye to the browsers and ends the thread; a second call does nothing."""
        if self._thread.is_alive():
            self._stop()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self) -> None:
        # zmq.asyncio watches descriptors, which not every platform's default loop can.
        with self._listener, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._serve())
            except Exception as error:
                if self._opened.done():
                    raise
                self._opened.set_exception(error)

    async def _serve(self) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        with _Relay(*self._addresses) as relay:
            async with serve(
                relay.attend,
                sock=self._listener,
                origins=origins(self._port),
                process_request=answer,
                compression=None,
                open_timeout=_PATIENCE_S,
                close_timeout=_PATIENCE_S,
                max_size=_REQUEST_BYTES,
                logger=_LOG,
            ):
                self._opened.set_result(lambda: loop.call_soon_threadsafe(stop.set))
                await _first_of(relay.forward(), stop.wait())


class _Slots:
    """What one browser has still to be sent: the newest payload of each kind, never a queue."""

    def __init__(self, waiting: dict[str, bytes]) -> None:
        self._waiting = dict(waiting)
        self._some = asyncio.Event()
        self._some.set()

    def put(self, kind: str, payload: bytes) -> None:
        self._waiting[kind] = payload
        self._some.set()

    async def take(self) -> bytes:
        """The payload of the kind that has waited longest; waits until there is one."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.pop(next(iter(self._waiting)))


class _Relay:
    """The ZeroMQ side, and what passes between it and each browser. Lives in one event loop."""

    def __init__(self, stream: str, control: str, inlet: str) -> None:
        self._context = zmq.asyncio.Context()
        self._browsers: set[_Slots] = set()
        self._kept: dict[str, bytes] = {}
        self._control = control
        try:
            self._stream = self._connect(zmq.SUB, stream)
            self._inlet = self._connect(zmq.PUB, inlet)
            self._connect(zmq.DEALER, control).close()  # a wrong address is said now
        except StreamError:
            self._context.destroy(linger=0)
            raise
        for kind in _KINDS:
            self._stream.subscribe(f"g1.{kind}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.destroy(linger=0)

    async def forward(self) -> None:
        """Hands each payload to all browsers, for ever."""
        while True:
            frames = await self._stream.recv_multipart()
            if len(frames) == 2:
                self._hand_out(frames[0].split(b".")[1].decode(), frames[1])

    async def attend(self, browser: ServerConnection) -> None:
        """Serves one browser until it leaves."""
        slots = _Slots(self._kept)
        self._browsers.add(slots)
        # A socket for each browser: the publisher's replies find their way without new ids.
        with self._connect(zmq.DEALER, self._control) as control:
            try:
                await _first_of(
                    _send_all(slots.take, browser),
                    _send_all(lambda: _reply(control), browser),
                    self._hear(browser, control),
                )
            except ConnectionClosed:
                pass
            finally:
                self._browsers.discard(slots)

    def _hand_out(self, kind: str, payload: bytes) -> None:
        if kind in _KEPT:
            self._kept[kind] = payload
        for slots in self._browsers:
            slots.put(kind, payload)

    async def _hear(self, browser: ServerConnection, control: zmq.asyncio.Socket) -> None:
        async for message in browser:
            if refusal := await self._pass_on(message, control):
                await browser.send(refusal)

    async def _pass_on(self, message: str | bytes, control: zmq.asyncio.Socket) -> bytes | None:
        """Sends a browser's message where it belongs; the reply when it cannot go anywhere."""
        head = _Head(op="")
        try:
            head = _decode(_HEAD, message)
            if head.op == "gaze":
                await self._look(_decode(_LOOK, message))
            else:
                await control.send(message)
        except (WireError, zmq.Again) as error:
            unheard = "the publisher is not there; start it, or check its address"
            sentence = unheard if isinstance(error, zmq.Again) else str(error)
            return msgspec.msgpack.encode({"v": 1, "id": head.id, "ok": False, "error": sentence})

    async def _look(self, look: _Look) -> None:
        gaze = {"v": 1, "topic": _POINTER, "t_ns": 0, "x": look.x, "y": look.y, "confidence": 1.0}
        frames = [_POINTER.encode(), msgspec.msgpack.encode(gaze)]
        await self._inlet.send_multipart(frames)  # pyright: ignore[reportUnknownMemberType]

    def _connect(self, kind: int, address: str) -> zmq.asyncio.Socket:
        client = self._context.socket(kind)
        client.linger = 0
        client.set_hwm(8)
        client.heartbeat_ivl, client.heartbeat_timeout = 1000, 3000
        if kind == zmq.DEALER:
            client.immediate = True  # an aim from before the publisher came back is not wanted
            client.sndtimeo = _CONTROL_MS
        try:
            client.connect(address)
        except zmq.ZMQError as error:
            raise StreamError(
                f"cannot connect to {address!r} ({error}); give an address like"
                " tcp://127.0.0.1:5570 or ipc:///run/glasses"
            ) from error
        return client


async def _reply(control: zmq.asyncio.Socket) -> bytes:
    frames = await control.recv_multipart()
    return frames[-1]


async def _send_all(
    take: Callable[[], Coroutine[Any, Any, bytes]], browser: ServerConnection
) -> None:
    while True:
        await browser.send(await take())


async def _first_of(*jobs: Coroutine[Any, Any, object]) -> None:
    """Runs the jobs until one ends, then cancels the others; raises what the first one raised."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _decode(decoder: msgspec.msgpack.Decoder[_Asked], message: str | bytes) -> _Asked:
    if isinstance(message, str):
        raise WireError("a control request is binary msgpack, not text")
    try:
        return decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise WireError(f"not a control request: {error}") from error
