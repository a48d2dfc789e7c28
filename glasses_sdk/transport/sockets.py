"""The publisher's three sockets: all bound, or none."""

from __future__ import annotations

import errno
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from glasses_sdk.errors import StreamError
from glasses_sdk.transport.config import Addresses, addresses_of, wants_any_port

__all__ = ["HEARTBEAT", "Socket", "Sockets", "open_sockets"]

Socket = zmq.Socket[Any]

HEARTBEAT = {
    zmq.HEARTBEAT_IVL: 1000,
    zmq.HEARTBEAT_TIMEOUT: 3000,
    zmq.HEARTBEAT_TTL: 3000,
}
_LARGEST_FRAME = 65536  # more than any request: what is too long is answered, what is huge is cut
_LINGER_MS = 100  # the last status gets out, a dead peer holds nobody up


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound, with the addresses that they truly have."""

    context: zmq.Context[Socket]
    stream: Socket
    control: Socket
    input: Socket
    addresses: Addresses

    def close(self) -> None:
        """All at once."""
        for bound in (self.stream, self.control, self.input):
            _tidy(bound.getsockopt_string(zmq.LAST_ENDPOINT))
        self.context.destroy(linger=_LINGER_MS)


def open_sockets(bind: str) -> Sockets:
    """StreamError where an address is in use or cannot be bound; then nothing stays open."""
    if not wants_any_port(bind):
        return _bind_all(bind)
    for _ in range(50):
        with suppress(StreamError):
            return _bind_all(_free_address(bind))
    raise StreamError(f"no three free ports in a row at {bind}: name one")


def _free_address(bind: str) -> str:
    host = bind.removeprefix("tcp://").rpartition(":")[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host.strip("[]"), 0))
        return f"tcp://{host}:{min(probe.getsockname()[1], 65533)}"


def _bind_all(bind: str) -> Sockets:
    addresses = addresses_of(bind)
    context = zmq.Context()
    sockets = Sockets(
        context,
        _socket(context, zmq.XPUB, {zmq.SNDHWM: 8, zmq.XPUB_VERBOSE: 1}),
        _socket(context, zmq.ROUTER, {zmq.SNDHWM: 32, zmq.RCVHWM: 32}),
        _socket(context, zmq.SUB, {zmq.RCVHWM: 256}),
        addresses,
    )
    try:
        sockets.input.subscribe(b"g1.in.")
        _bind(sockets.stream, addresses.stream)
        _bind(sockets.control, addresses.control)
        _bind(sockets.input, addresses.input)
    except BaseException:
        sockets.close()
        raise
    return sockets


def _socket(context: zmq.Context[Socket], kind: int, options: dict[int, int]) -> Socket:
    opened = context.socket(kind)
    for option, value in {**HEARTBEAT, zmq.MAXMSGSIZE: _LARGEST_FRAME, **options}.items():
        opened.setsockopt(option, value)
    return opened


def _bind(bound: Socket, address: str) -> None:
    if address.startswith("ipc://"):
        _refuse_taken(address)
    if "[" in address:
        bound.setsockopt(zmq.IPV6, 1)
    try:
        bound.bind(address.replace("//localhost:", "//127.0.0.1:"))
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise _in_use(address) from error
        raise StreamError(f"cannot bind {address}: {error.strerror}") from error


def _tidy(endpoint: str) -> None:
    """libzmq leaves the file of an ipc address behind; gone first, nobody else's is meant."""
    if endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@"):
        Path(endpoint.removeprefix("ipc://")).unlink(missing_ok=True)


def _in_use(address: str) -> StreamError:
    return StreamError(f"{address} is in use: stop the other publisher or bind another address")


def _refuse_taken(address: str) -> None:
    """libzmq deletes whatever lies at an ipc path before it binds: a stale socket only may go."""
    name = address.removeprefix("ipc://")
    path = Path(name)
    if not name.startswith("@") and not path.exists():
        return
    if not name.startswith("@") and not stat.S_ISSOCK(path.stat().st_mode):
        raise StreamError(f"{path} is not a socket: move it away or bind another address")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("\0" + name[1:] if name.startswith("@") else name)
        except OSError:
            return
    raise _in_use(address)
