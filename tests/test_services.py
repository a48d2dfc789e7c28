"""The services of docs/how-to/run-as-a-service.md: systemd checks them, masks go through them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import typer.main

from glasses_sdk.cli import app
from glasses_sdk.transport import Control, MaskSubscriber, addresses_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/how-to/run-as-a-service.md").read_text()
UNITS = dict(
    re.findall(r'^```text title="/etc/systemd/system/(.*?)"\n(.*?)^```$', PAGE, re.M | re.S)
)
PROXY = Path("/usr/lib/systemd/systemd-socket-proxyd")
SOCKETS = ("glasses-stream.socket", "glasses-control.socket", "glasses-input.socket")


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNITS[unit], re.M)


def test_whoever_has_the_camera_has_no_network_and_the_reverse():
    sensor, publisher = "glasses-sensor.service", "glasses-publisher@.service"
    assert values(sensor, "PrivateNetwork") == values(publisher, "PrivateNetwork") == ["yes"]
    assert values(sensor, "RestrictAddressFamilies") == ["AF_UNIX"]
    assert all("char-" in allowed for allowed in values(sensor, "DeviceAllow"))
    assert values(publisher, "PrivateDevices") == ["yes"]
    assert values(publisher, "DeviceAllow") == []
    assert values(sensor, "DevicePolicy") == values(publisher, "DevicePolicy") == ["closed"]


def test_the_sensor_s_command_is_one_of_ours():
    (line,) = values("glasses-sensor.service", "ExecStart")
    program, command, *words = line.split()
    assert program.endswith("/glasses")
    group: Any = typer.main.get_command(app)
    context = group.commands[command].make_context(command, words)
    assert context.params["bind"] == "ipc:///run/glasses/stream"


def test_each_port_leads_to_the_socket_that_the_sensor_binds():
    inside = addresses_of("ipc:///run/glasses/stream")
    outside = addresses_of("tcp://127.0.0.1:5570")
    pairs = zip(astuple(inside), astuple(outside), strict=True)
    for unit, (ipc, tcp) in zip(SOCKETS, pairs, strict=True):
        (listens,) = values(unit, "ListenStream")
        (service,) = values(unit, "Service")
        assert f"tcp://{listens}" == tcp
        instance = service.removeprefix("glasses-publisher@").removesuffix(".service")
        assert f"ipc:///run/glasses/{instance}" == ipc


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path):
    for name, text in UNITS.items():
        here = re.sub(r"^ExecStart=/opt/\S+", "ExecStart=/bin/true", text, flags=re.M)
        (tmp_path / name).write_text(here.replace("User=glasses\n", ""))  # it is not here
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    ours = [line for line in verified.stderr.splitlines() if "glasses-" in line]
    assert ours == []


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="glasses-") as name:
        yield Path(name)


@pytest.fixture
def sensor(folder: Path) -> Iterator[Path]:
    """The socket of a `glasses run` on the made world."""
    run = [sys.executable, "-P", "-m", "glasses_sdk", "run", "--sensor", "synthetic:1"]
    said = folder / "said"
    with said.open("w") as errors:
        process = subprocess.Popen([*run, "--bind", f"ipc://{folder}/stream"], stderr=errors)
    try:
        end_s = time.monotonic() + 60
        while "masks on" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < end_s
            time.sleep(0.05)
        yield folder / "stream"
    finally:
        process.terminate()
        process.wait()


def three_ports() -> list[socket.socket]:
    """Bound, one after the other."""
    for _ in range(100):
        first = socket.create_server(("127.0.0.1", 0))
        port = first.getsockname()[1]
        try:
            rest = [socket.create_server(("127.0.0.1", port + k)) for k in (1, 2)]
        except OSError:
            first.close()
            continue
        return [first, *rest]
    raise AssertionError("no three free ports in a row")


def hand_over(listener: socket.socket, path: str) -> subprocess.Popen[bytes]:
    """systemd-socket-proxyd with this socket, as systemd hands it one: as descriptor 3."""
    program = (
        "import os,sys; os.dup2(int(sys.argv[1]), 3); os.environ |= "
        "{'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}; os.execv(sys.argv[2], sys.argv[2:])"
    )
    number = listener.fileno()
    return subprocess.Popen(
        [sys.executable, "-c", program, str(number), str(PROXY), path], pass_fds=[number]
    )


@pytest.mark.skipif(not PROXY.exists(), reason="systemd is not installed")
def test_masks_and_commands_pass_the_publisher(sensor: Path):
    listeners = three_ports()
    suffixes = ("", "-control", "-input")
    proxies = [
        hand_over(one, f"{sensor}{end}") for one, end in zip(listeners, suffixes, strict=True)
    ]
    address = f"tcp://127.0.0.1:{listeners[0].getsockname()[1]}"
    try:
        with MaskSubscriber(address) as subscriber:
            masks = [subscriber.recv(timeout=20) for _ in range(3)]
        with Control(addresses_of(address).control) as control:
            hello = control.hello()
    finally:
        for proxy in proxies:
            proxy.kill()
            proxy.wait()
        for listener in listeners:
            listener.close()
    assert [mask.seq for mask in masks] == sorted({mask.seq for mask in masks})
    assert hello.device == masks[0].device
