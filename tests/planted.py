"""Engines that a test plants in the process with the camera, to do there what they should not."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from glasses_sdk.errors import DeviceLost
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.sensors.records import Seen
from glasses_sdk.types import Bits, Roi, Size

SIZE = Size(320, 240)
WHOLE = Roi(0, 0, 320, 240)


class Planted(msgspec.Struct, frozen=True):
    """What the engine does: `patterns`, `attempts`, `sleep`, `die` or `unplug`."""

    deed: str
    cells: int = 32
    live: bool = False
    lockstep: bool = False
    start: int = 0
    first_frame_ns: int = 0

    def resumed(self, start: int, first_frame_ns: int) -> Planted:
        return msgspec.structs.replace(self, start=start, first_frame_ns=first_frame_ns)


class PlantedEngine:
    def __init__(self, spec: Planted) -> None:
        self._spec = spec
        self._seq = spec.start - 1
        self._while_opening = attempts() if spec.deed == "attempts" else []
        self.info = SensorInfo(
            kind="planted",
            size=SIZE,
            mask=Size(spec.cells, spec.cells),
            model="planted@00000000",
            isolation="none",
            input_tensor="unknown",
            first_frame_ns=spec.first_frame_ns or time.monotonic_ns(),
        )

    def step(self, aim: Callable[[], Roi | None]) -> Seen | None:
        self._seq += 1
        match self._spec.deed:
            case "attempts":
                bits = np.zeros((self._spec.cells, self._spec.cells), np.bool_)
                for row, found in enumerate((self._while_opening, attempts(), later_attempts())):
                    bits[row, : len(found)] = found
            case "sleep":
                time.sleep(1000)
            case "die":
                os._exit(3)
            case "unplug" if self._spec.start == 0:
                raise DeviceLost("the camera is unplugged")
        if self._spec.deed != "attempts":
            bits = pattern(self._seq, self._spec.cells)
        aim()
        time.sleep(0.002)
        return Seen(bits, WHOLE, 0.5, time.monotonic_ns(), self._seq)

    def next_ns(self) -> int:
        return time.monotonic_ns()

    def close(self) -> None:
        pass


def open_planted(spec: Planted) -> PlantedEngine:
    return PlantedEngine(spec)


def pattern(seq: int, cells: int) -> Bits:
    """Noise that only this frame has."""
    return np.random.default_rng(seq).random((cells, cells)) < 0.5


# What a process might try. True: the kernel would have let it.


def _opens(family: int, kind: int) -> Callable[[], object]:
    return lambda: socket.socket(family, kind).close()


def _connects() -> None:
    code = _libc.connect(-1, None, 0)
    _check(code)


def _calls(number: int, *arguments: object) -> Callable[[], object]:
    return lambda: _check(_libc.syscall(number, *arguments))


def _check(code: int) -> None:
    if code == -1 and ctypes.get_errno() == 1:
        raise PermissionError


def _runs() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def _forks() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


_libc = ctypes.CDLL(None, use_errno=True)
ATTEMPTS: dict[str, Callable[[], object]] = {
    "inet": _opens(socket.AF_INET, socket.SOCK_STREAM),
    "inet datagram": _opens(socket.AF_INET, socket.SOCK_DGRAM),
    "inet6": _opens(socket.AF_INET6, socket.SOCK_STREAM),
    "unix": _opens(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": _opens(socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": _opens(socket.AF_PACKET, socket.SOCK_RAW),
    "pair": lambda: [end.close() for end in socket.socketpair()],
    "connect": _connects,
    "io_uring_setup": _calls(425, 0, None),
    "pidfd_getfd": _calls(438, -1, 0, 0),
    "ptrace": lambda: _check(_libc.ptrace(7, 0, None, None)),  # continue nobody: no such process
    "process_vm_readv": lambda: _check(_libc.process_vm_readv(os.getpid(), None, 0, None, 0, 0)),
    "process_vm_writev": lambda: _check(_libc.process_vm_writev(os.getpid(), None, 0, None, 0, 0)),
    "spawn": _runs,
    "fork": _forks,
}
LATER = {
    "create a file": lambda: os.close(os.open(os.devnull, os.O_RDONLY | os.O_CREAT, 0o600)),
    "write to a file": lambda: os.close(os.open(os.devnull, os.O_WRONLY)),
    "read and write a file": lambda: os.close(os.open(os.devnull, os.O_RDWR)),
    "rename": lambda: _check(_libc.rename(b"/nonexistent/a", b"/nonexistent/b")),
    "hold a socket": lambda: holds_a_socket() or _check_never(),
}


def _check_never() -> None:
    raise PermissionError


def attempts() -> list[bool]:
    """What of ATTEMPTS would go through."""
    return [_goes_through(attempt) for attempt in ATTEMPTS.values()]


def later_attempts() -> list[bool]:
    """What of LATER would go through."""
    return [_goes_through(attempt) for attempt in LATER.values()]


def _goes_through(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return False
    except OSError:
        return True  # the kernel took the call and found something else wrong
    return True


def holds_a_socket() -> bool:
    """Whether any descriptor of this process is a socket."""
    found = False
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found |= stat.S_ISSOCK(os.fstat(int(descriptor.name)).st_mode)
        except OSError:  # the one that listed them
            continue
    return found


def children(parent: int) -> list[int]:
    """The processes, zombies too, that this one is the parent of."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                ppid = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:  # it has gone meanwhile
                continue
            if int(ppid) == parent:
                found.append(int(entry.name))
    return found


if __name__ == "__main__":  # a program with an isolated sensor of its own: prints the child's id
    from glasses_sdk.sensors.isolated import IsolatedSensor

    with IsolatedSensor("planted:open_planted", Planted(sys.argv[1])) as sensor:
        print(*children(os.getpid()), flush=True)
        if sys.argv[1] == "attempts":
            while (mask := sensor.read()) is None:
                time.sleep(0.01)
            print(int(mask.bits[2, len(LATER) - 1]), flush=True)
        time.sleep(1000)
