"""The program of the camera's process: one loop, aims in, masks out."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from glasses_sdk.errors import ConfigError, GlassesError
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.sensors.confine import hide
from glasses_sdk.sensors.imx500.camera import Picamera
from glasses_sdk.sensors.imx500.engine import Due, Engine, Seen
from glasses_sdk.sensors.imx500.records import Aim, Blank, Fault, Line, Loading, Opened, Saw
from glasses_sdk.sensors.imx500.rpk import input_tensor, model_name
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Roi

_TELL_SECONDS = 0.25


def _main(driver: str, spec_json: str, parent: int, *ends: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hide(parent):
        return
    line = Line(*(socket.socket(fileno=end) for end in ends))
    try:
        _run(driver, msgspec.json.decode(spec_json, type=Imx500Spec), line)
    except GlassesError as error:
        line.send(Fault(type(error).__name__, str(error)))
    except Exception as error:  # a library's; the sentence gets its name
        line.send(Fault("DeviceError", f"{type(error).__name__}: {error}"))
    os._exit(0)  # libcamera's threads and a camera that hangs are the kernel's to end


def _run(driver: str, spec: Imx500Spec, line: Line) -> None:
    name = model_name(Path(spec.rpk))
    camera = _driver(driver)(spec)
    line.send(Opened(_info(camera, spec, name)))
    with _told_of(camera, line):
        camera.start()
    _serve(camera, Engine(camera, spec, time.monotonic_ns), line)
    camera.close()


def _driver(driver: str) -> Any:
    module, _, name = driver.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot load the camera's driver {driver}: {error}") from error


def _info(camera: Picamera, spec: Imx500Spec, name: str) -> SensorInfo:
    return SensorInfo(
        kind="imx500",
        size=camera.chip.size,
        mask=camera.chip.least,
        model=name,
        isolation="silicon",
        input_tensor=input_tensor(Path(spec.rpk)),
        first_frame_ns=time.monotonic_ns(),
    )


@contextmanager
def _told_of(camera: Picamera, line: Line) -> Generator[None]:
    """Meanwhile another process tells how the upload goes: this one's interpreter stands still."""
    parent = os.getpid()
    with warnings.catch_warnings():  # of libcamera's threads, which the teller has no use for
        warnings.simplefilter("ignore", DeprecationWarning)
        teller = os.fork()
    if teller == 0:
        _tell(camera, line, parent)
    try:
        yield
    finally:
        os.kill(teller, signal.SIGKILL)
        os.waitpid(teller, 0)


def _tell(camera: Picamera, line: Line, parent: int) -> None:
    try:
        while hide(parent):  # it may be killed any time, and takes this one along
            line.send(Loading(camera.progress()))
            time.sleep(_TELL_SECONDS)
    finally:
        os._exit(0)


def _serve(camera: Picamera, engine: Engine, line: Line) -> None:
    """Until the far end hangs up: aims are set as they come, frames are told as they come."""
    poller = select.poll()
    poller.register(camera.fileno(), select.POLLIN)
    poller.register(line.fileno(), select.POLLIN)
    aim = 0
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if line.fileno() in ready:
            try:
                aim = _take_aims(line, engine) or aim
            except EOFError:
                return
        if camera.fileno() in ready:
            for frame in camera.take():
                seen = engine.see(frame)
                line.send(_saw(seen, aim, engine.due()) if seen else Blank())


def _take_aims(line: Line, engine: Engine) -> int:
    """The newest aim counts; its number."""
    newest: Aim | None = None
    while record := line.receive():
        newest = record if isinstance(record, Aim) else newest
    if newest is None:
        return 0
    engine.aim(Roi(*newest.box) if newest.box else None)
    return newest.number


def _saw(seen: Seen, aim: int, due: Due) -> Saw:
    roi = seen.roi
    return Saw(
        number=seen.number,
        time_ns=seen.time_ns,
        aim=aim,
        box=(int(roi.left), int(roi.top), int(roi.width), int(roi.height)),
        settling=seen.state == "settling",
        elsewhere=seen.elsewhere,
        score=seen.score,
        bits=np.packbits(seen.bits, axis=1).tobytes(),
        kpi=seen.kpi,
        due=(due.by_ns, due.ahead_ns, due.period_ns),
    )


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
