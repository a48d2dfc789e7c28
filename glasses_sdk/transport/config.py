"""Where a stream is: its settings, and the addresses that follow from one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from glasses_sdk.errors import ConfigError

__all__ = ["Addresses", "StreamConfig", "addresses_of"]


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Settings of the stream.

    bind     loopback tcp (port `*` or 0: any three free in a row), or ipc
    privacy  `coarse`: regions change only per fixation, on a coarse grid, and gaze is not published
    curve    folder of the CURVE keys; not supported yet
    """

    bind: str = "tcp://127.0.0.1:5570"
    device: str = "glasses"
    privacy: Literal["fine", "coarse"] = "fine"
    curve: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]{1,32}", self.device):
            raise ConfigError(f"a device is 1 to 32 of a-z, 0-9 and -, not {self.device!r}")
        if self.privacy not in ("fine", "coarse"):
            raise ConfigError(f"privacy is 'fine' or 'coarse', not {self.privacy!r}")
        if self.curve is not None:
            raise ConfigError("CURVE is not supported yet: leave `curve` out and bind to loopback")
        _refuse_open(self.bind)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The three sockets of one publisher."""

    stream: str
    control: str
    input: str


def addresses_of(stream: str) -> Addresses:
    """The next two ports of a tcp address, the suffixes -control and -input of an ipc one."""
    if stream.startswith("ipc://"):
        _path(stream)
        return Addresses(stream, f"{stream}-control", f"{stream}-input")
    host, port = _host_and_port(stream)
    if not 1 <= port <= 65533:
        raise ConfigError(f"a stream's port is 1 to 65533 (control and input follow), not {port}")
    return Addresses(stream, f"tcp://{host}:{port + 1}", f"tcp://{host}:{port + 2}")


def wants_any_port(stream: str) -> bool:
    """Is this a tcp address that leaves the port open?"""
    return stream.startswith("tcp://") and _host_and_port(stream)[1] == 0


def _host_and_port(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"tcp://(.+):(\*|[0-9]{1,5})", address)
    if match is None:
        raise ConfigError(
            f"an address is tcp://host:port or ipc://path, as tcp://127.0.0.1:5570, not {address!r}"
        )
    host, port = match.groups()
    return host, 0 if port == "*" else int(port)


def _path(address: str) -> str:
    path = address.removeprefix("ipc://")
    if path in ("", "*", "@"):
        raise ConfigError(f"an ipc address names a file, as ipc:///run/glasses, not {address!r}")
    return path


def _refuse_open(bind: str) -> None:
    if not bind.startswith("ipc://") and not _is_loopback(_host_and_port(bind)[0]):
        raise ConfigError(
            f"{bind} can be reached from outside and there are no CURVE keys: "
            "bind to 127.0.0.1 or ipc"
        )
    if not wants_any_port(bind):
        addresses_of(bind)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
