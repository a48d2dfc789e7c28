"""What a Raspberry Pi needs beyond that: apt's picamera2 in a Python that fits it, and an IMX500.

On other computers nothing is looked at.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from glasses_sdk import models
from glasses_sdk.backends import has_imx500
from glasses_sdk.doctor.finding import Finding

__all__ = ["raspberry"]

_ROOT = Path("/")
_PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}  # which apt's picamera2 is built for
_OLDEST = "0.3.35"  # picamera2
_FIRMWARE = ("imx500_loader.fpk", "imx500_firmware.fpk")
_NODES = ("video*", "media*", "v4l-subdev*", "dma_heap/*")
_INSTALL = "sudo apt install imx500-all python3-picamera2"
_SECONDS = 60.0


def raspberry(root: Path = _ROOT) -> Iterator[Finding]:
    """Nothing where this is no Raspberry Pi; `root` is where its files are."""
    board = _text(root / "proc/device-tree/model").rstrip("\0\n")
    if not board.startswith("Raspberry Pi"):
        return
    yield Finding("board", "fine", board)
    yield _system(root)
    yield _libcamera(root)
    yield _picamera2()
    yield from _imx500(root)
    yield _permissions(root)


def _system(root: Path) -> Finding:
    """Whether this Python is the one that apt's packages are for."""
    release = _pairs(_text(root / "etc/os-release"))
    name = release.get("VERSION_CODENAME", "unknown")
    wanted = _PYTHONS.get(name)
    says = f"{release.get('PRETTY_NAME', name)}, Python {platform.python_version()}"
    if wanted is None:
        fix = f"use Raspberry Pi OS {' or '.join(_PYTHONS)}"
        return Finding("system", "note", f"{says}: not one that picamera2 is known for", fix)
    if sys.version_info[:2] != wanted:
        fix = "/usr/bin/python3 -m venv --system-site-packages"
        says += f", but apt's picamera2 is for {wanted[0]}.{wanted[1]}"
        return Finding("system", "broken", says, fix)
    return Finding("system", "fine", says)


def _libcamera(root: Path) -> Finding:
    """Whether libcamera and its Python binding are of one version, as dpkg has them."""
    installed = _installed(_text(root / "var/lib/dpkg/status"))
    binding = installed.get("python3-libcamera")
    libraries = {
        version
        for name, version in installed.items()
        if name.startswith("libcamera") and name.removeprefix("libcamera")[:1].isdigit()
    }
    if binding is None:
        return Finding("libcamera", "broken", "python3-libcamera is not installed", _INSTALL)
    if binding not in libraries:  # apt leaves older ones of another name where they are
        says = f"python3-libcamera {binding} beside libcamera {', '.join(sorted(libraries))}"
        fix = "sudo apt update && sudo apt full-upgrade"
        return Finding("libcamera", "broken", says, fix)
    return Finding("libcamera", "fine", binding)


def _picamera2() -> Finding:
    """Whether this Python can import it, tried in a process of its own."""
    program = "import picamera2, importlib.metadata as m; print(m.version('picamera2'))"
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired:
        says = f"its import has not ended within {_SECONDS:.0f} s"
        return Finding("picamera2", "broken", says, "see dmesg; restart the Raspberry Pi")
    if tried.returncode == 0:
        version = tried.stdout.strip()
        if _numbers(version) >= _numbers(_OLDEST):
            return Finding("picamera2", "fine", version)
        says = f"{version} is too old: {_OLDEST} is the first whose IMX500 tells of uploads"
        return Finding("picamera2", "broken", says, "sudo apt update && sudo apt full-upgrade")
    why = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    fix = f"{_INSTALL}; and python3 -m venv --system-site-packages"
    if "numpy" in tried.stderr and "No module named" not in why:  # built against another one
        fix = "let apt's numpy be the one: pip uninstall numpy, or pip install 'numpy<2'"
    return Finding("picamera2", "broken", f"cannot be imported: {why}", fix)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _imx500(root: Path) -> Iterator[Finding]:
    missing = [name for name in _FIRMWARE if not (root / "lib/firmware" / name).exists()]
    if missing:
        says = f"no {', '.join(missing)} in /lib/firmware"
        yield Finding("imx500 firmware", "broken", says, "sudo apt install imx500-all")
    else:
        yield Finding("imx500 firmware", "fine", "installed")
    if has_imx500(root / "sys/class/video4linux"):
        yield Finding("imx500", "fine", "the driver has found one")
    else:
        fix = "check the cable, and dtoverlay=imx500 or camera_auto_detect=1 in config.txt"
        yield Finding("imx500", "note", "the driver has found none", fix)
    yield _network(models.folder() / models.DEFAULT / "imx500")


def _network(folder: Path) -> Finding:
    """Whether the default network is there for the camera, and fits into its memory."""
    memory = _memory(folder)
    if memory.get("Fit In Chip") is False:
        says = f"{folder} does not fit: {memory.get('Memory Usage')}"
        return Finding("imx500 network", "broken", says, "glasses convert a smaller one")
    if not (folder / "network.rpk").is_file():
        says = f"no {folder / 'network.rpk'}"
        return Finding("imx500 network", "note", says, "glasses models package")
    used = memory.get("Memory Utilization", "an unknown share")
    return Finding("imx500 network", "fine", f"{used} of the camera's memory")


def _memory(folder: Path) -> dict[str, Any]:
    """The converter's report; empty where there is none that can be read."""
    report = next(iter(folder.glob("*_MemoryReport.json")), None)
    if report is None:
        return {}
    try:
        whole = msgspec.json.decode(report.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError):
        return {}
    return whole.get("Memory Report", {})


def _permissions(root: Path) -> Finding:
    nodes = [node for pattern in _NODES for node in sorted((root / "dev").glob(pattern))]
    denied = [node.name for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if denied:
        fix = "sudo usermod -aG video $USER, then log in again"
        return Finding("permissions", "broken", f"not yours: {', '.join(denied)}", fix)
    return Finding("permissions", "fine", f"{len(nodes)} camera devices are yours to use")


def _text(file: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _pairs(text: str) -> dict[str, str]:
    """Of `KEY=value` or `KEY="value"` a line."""
    lines = (line.partition("=") for line in text.splitlines())
    return {key: value.strip('"') for key, _, value in lines}


def _installed(status: str) -> dict[str, str]:
    """Package to version, of dpkg's own list."""
    found: dict[str, str] = {}
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        if fields.get("Status", "").endswith(" installed"):
            found[fields.get("Package", "")] = fields.get("Version", "")
    return found
