"""What every computer needs: libraries, models, a camera, a lock, ports, a clock."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from glasses_sdk import models
from glasses_sdk.doctor.finding import Finding
from glasses_sdk.errors import ConfigError, GlassesError
from glasses_sdk.transport import Control, addresses_of

__all__ = ["camera", "clock", "extras", "isolation", "ports", "released", "versions"]

_LIBRARIES = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencv": "cv2",
    "pyzmq": "zmq",
    "msgspec": "msgspec",
}
_EXTRAS = {
    "eval": ("pycocotools",),
    "demo": ("skimage",),
    "view": ("websockets",),
    "quantize": ("onnx", "pycocotools"),
    "train": ("torch", "onnx", "pycocotools"),
    "pi": ("picamera2",),
    "neon": ("pupil_labs",),
    "lsl": ("pylsl",),
}
_BY_APT = {"pi": "on a Raspberry Pi: sudo apt install python3-picamera2"}
_WRITTEN = 1_735_689_600  # 2025: no clock that is right is earlier


def versions() -> Iterator[Finding]:
    """Python's, and those of the libraries without which nothing runs."""
    yield Finding("python", "fine", f"{platform.python_version()}, {platform.platform()}")
    for name, module in _LIBRARIES.items():
        yield _library(name, module)


def _library(name: str, module: str) -> Finding:
    try:
        loaded = import_module(module)
    except Exception as error:  # a damaged library may fail with anything
        fix = "pip install --force-reinstall glasses-sdk"
        return Finding(name, "broken", f"cannot be loaded: {error}", fix)
    return Finding(name, "fine", str(getattr(loaded, "__version__", "of unknown version")))


def released() -> Iterator[Finding]:
    """The released model files against their checksums."""
    fix = "reinstall the SDK: pip install --force-reinstall glasses-sdk"
    try:
        for checked in models.verify():
            if checked.fault:
                yield Finding(f"model {checked.file}", "broken", checked.fault, fix)
            else:
                yield Finding(f"model {checked.file}", "fine", "as released")
    except GlassesError as error:
        yield Finding("models", "broken", str(error), fix)


def camera(devices: Path = Path("/dev")) -> Iterator[Finding]:
    """The video devices, and whether this user may use them."""
    found = sorted(devices.glob("video*"))
    if not found:
        fix = "plug one in, or use --sensor synthetic or --sensor video:FILE"
        yield Finding("camera", "note", f"none: no {devices}/video*", fix)
    for device in found:
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("camera", "fine", f"{device}")
        else:
            fix = "sudo usermod -aG video $USER, then log in again"
            yield Finding("camera", "broken", f"{device} is not yours to use", fix)


def isolation() -> Finding:
    """Whether a camera's process can be locked in; tried in a process of its own, for good."""
    program = "from glasses_sdk.sensors import confine as c; print(c.lock_in() or c.seal() or '')"
    paths = os.pathsep.join(filter(None, sys.path))
    tried = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": paths},
    )
    why_not = tried.stdout.strip() or tried.stderr.strip()[-200:]
    if tried.returncode == 0 and not why_not:
        return Finding("isolation", "fine", "a camera's process can be locked in")
    fix = "use Linux with seccomp and libseccomp: sudo apt install libseccomp2"
    return Finding("isolation", "broken", f"pixels would be in reach: {why_not}", fix)


def ports(stream: str) -> Iterator[Finding]:
    """Whether the stream, control and input can be bound; if not, who seems to hold them."""
    if stream.endswith((":*", ":0")):
        yield Finding("stream", "fine", f"{stream} takes any free ports")
        return
    try:
        addresses = addresses_of(stream)
    except ConfigError as error:
        yield Finding("stream", "broken", str(error), "glasses config show says where it is set")
        return
    kinds = {"stream": addresses.stream, "control": addresses.control, "input": addresses.input}
    taken = [kind for kind, address in kinds.items() if not _is_free(address)]
    running = _publisher_at(addresses.control) if "control" in taken else None
    for kind, address in kinds.items():
        if kind not in taken:
            yield Finding(kind, "fine", f"{address} is free")
        elif running:
            fix = "nothing, unless you want a second one: glasses run --bind tcp://127.0.0.1:*"
            yield Finding(kind, "note", f"{address} is held by {running}", fix)
        else:
            fix = "stop that program, or bind elsewhere: glasses run --bind tcp://127.0.0.1:*"
            yield Finding(kind, "broken", f"{address} is held by {_holder(address)}", fix)


def _is_free(address: str) -> bool:
    """Binds as a publisher would, and lets go again."""
    if address.startswith("ipc://"):
        return not Path(address.removeprefix("ipc://")).exists()
    host, port = _host_and_port(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)


def _publisher_at(control: str) -> str | None:
    with suppress(GlassesError), Control(control, timeout=0.5) as asked:
        hello = asked.hello()
        return f"the publisher of {hello.device}, session {hello.session}"
    return None


def _holder(address: str) -> str:
    """The program that listens there, as far as /proc tells this user."""
    if address.startswith("tcp://"):
        wanted = _listening_inodes(_host_and_port(address)[1])
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if str(link.readlink()) in wanted:
                    process = link.parts[2]
                    name = Path(f"/proc/{process}/comm").read_text().strip()
                    return f"{name} (process {process})"
    return "another program, which is not yours to see"


def _listening_inodes(port: int) -> set[str]:
    """As /proc/<pid>/fd names them."""
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                local, state, inode = fields[1], fields[3], fields[9]
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{inode}]")
    return found


def clock(now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Whether time runs finely enough, and the date can be true."""
    fineness_us = time.get_clock_info("monotonic").resolution * 1e6
    yield Finding("clock", "fine", f"monotonic, {fineness_us:g} µs fine")
    if now() < _WRITTEN:
        fix = "let the machine set its clock: sudo timedatectl set-ntp true"
        says = "this machine's date lies before 2025: ages across machines will be wrong"
        yield Finding("date", "note", says, fix)


def extras() -> Iterator[Finding]:
    """The optional parts, by what they need."""
    for extra, needed in _EXTRAS.items():
        missing = [module for module in needed if find_spec(module) is None]
        if missing:
            says = f"not installed ({', '.join(missing)})"
            fix = _BY_APT.get(extra, f"pip install 'glasses-sdk[{extra}]'")
            yield Finding(f"extra {extra}", "note", says, fix)
        else:
            yield Finding(f"extra {extra}", "fine", "installed")
