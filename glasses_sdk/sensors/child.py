"""The process with camera and network: started from here, and its program.

It opens no socket, reaches no other process (glasses_sdk.sensors.confine) and holds two pipes: aims
in, mask records out. Which engine it is to run it is told by name.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from typing import Protocol, get_type_hints

import msgspec

from glasses_sdk.errors import ConfigError, DeviceError
from glasses_sdk.sensors import confine
from glasses_sdk.sensors.engine import Ends, Engine, serve
from glasses_sdk.sensors.link import Hangup, Link, pipes

__all__ = ["OPEN_SECONDS", "Child", "Spec"]

OPEN_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}  # it could reach nobody, but keeps a file for it


class Spec(Protocol):
    """What an engine is to open: a record that travels as JSON.

    The engine is a function of one argument whose annotation is the record's class.
    """

    @property
    def lockstep(self) -> bool:
        """Whether each frame waits for its aim."""
        ...

    @property
    def live(self) -> bool:
        """Whether it is a camera, which may come back after it was lost."""
        ...

    def resumed(self, start: int, first_frame_ns: int) -> Spec:
        """The same, its first frame numbered `start` in what began at `first_frame_ns`."""
        ...


class Child:
    """The process, from outside.

    Raises DeviceError when it cannot be started.
    """

    def __init__(self, engine: str, spec: Spec, pause_s: float) -> None:
        ends, self._aims, self.records = pipes()
        self._link: Link | None = None
        self._lockstep = spec.lockstep
        self._hung_up_s: float | None = None
        self._late_s = time.monotonic() + pause_s + OPEN_SECONDS
        what = [engine, msgspec.json.encode(spec).decode()]
        how = [pause_s, *ends, int(spec.lockstep), os.getpid()]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *what, *map(str, how)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=ends,
                process_group=0,  # a Ctrl-C at the terminal is for this process
                env=os.environ
                | _ENVIRONMENT
                | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            self.hang_up()
            raise DeviceError(f"the sensor's process cannot be started: {error}") from error
        finally:
            for end in ends:
                os.close(end)

    def is_ready(self) -> bool:
        """Whether `open` would not wait. Raises Hangup when it has been too long."""
        if time.monotonic() > self._late_s:
            raise Hangup(f"the sensor's process has not opened within {OPEN_SECONDS:.0f} s")
        return bool(select.select([self.records], [], [], 0)[0])

    def open(self, seconds: float) -> Link:
        """Wait for the hello. Raises what the engine could not open with."""
        try:
            self._link = Link(self._aims, self.records, seconds, self._lockstep)
        except BaseException:
            self._hung_up_s = time.monotonic()  # the link did
            raise
        return self._link

    def hang_up(self) -> None:
        """Ask it to end. Does nothing the second time."""
        if self._hung_up_s is not None:
            return
        self._hung_up_s = time.monotonic()
        if self._link:
            self._link.close()
        else:
            os.close(self._aims)
            os.close(self.records)

    def has_ended(self) -> bool:
        """Whether it is gone, zombie and all. One that outstays the hang-up is killed."""
        if self._process.poll() is not None:
            return True
        if time.monotonic() - (self._hung_up_s or math.inf) > _CLOSE_SECONDS:
            self._process.kill()
        return False

    @property
    def fate(self) -> str:
        """How it ended, as far as that is known yet."""
        code = self._process.poll()
        if not code:
            return ""
        return f" (signal {-code})" if code < 0 else f" (exit code {code})"

    def end(self) -> None:
        """Once hung up: wait until it is gone."""
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# The locked-in process


def _main(engine: str, spec: str, pause_s: float, *how: int) -> None:
    *pipes_here, lockstep, parent = how
    ends = Ends(*pipes_here)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not confine.hide(parent):
        return
    why_not = confine.lock_in()
    confine.close_all_but({0, 1, 2, *ends})
    if _hung_up(ends.aims, pause_s):
        return

    def open_engine() -> Engine:
        opened = _open(engine, spec)
        return _attested(opened, why_not or confine.seal())

    serve(open_engine, ends, bool(lockstep))


def _hung_up(pipe: int, seconds: float) -> bool:
    """Wait; True as soon as nobody holds the other end."""
    poller = select.poll()
    poller.register(pipe, 0)
    return bool(poller.poll(seconds * 1000))


def _open(engine: str, spec: str) -> Engine:
    """Only now is the engine's code loaded, and with it camera and network libraries."""
    module, _, name = engine.partition(":")
    try:
        opener = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot load the engine {engine}: {error}") from error
    kind = next(iter(get_type_hints(opener).values()))
    return opener(msgspec.json.decode(spec, type=kind))


def _attested(engine: Engine, why_not: str | None) -> Engine:
    """The engine, saying where its pixels are locked in; as it is, with a warning, if nowhere."""
    if why_not:
        logging.getLogger("glasses").warning(
            "the camera's process is not isolated, its pixels are in reach: %s", why_not
        )
    else:
        engine.info = replace(engine.info, isolation="process", input_tensor="absent")
    return engine


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], float(sys.argv[3]), *map(int, sys.argv[4:]))
