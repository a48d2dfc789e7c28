"""The camera's process, from outside; its program is `glasses_sdk.sensors.imx500.process`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress

import msgspec

from glasses_sdk.errors import DeviceError
from glasses_sdk.sensors.imx500.records import Line
from glasses_sdk.sensors.imx500.spec import Imx500Spec

__all__ = ["Child"]

_PROGRAM = "glasses_sdk.sensors.imx500.process"
_WAIT_SECONDS = 2.0  # for the camera to be closed in order


class Child:
    """The process, from outside. `driver` names what opens the camera, as `package.module:name`.

    Raises DeviceError when it cannot be started.
    """

    def __init__(self, driver: str, spec: Imx500Spec) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spare = here.dup()
        self.line = Line(here)
        what = [driver, msgspec.json.encode(spec).decode()]
        how = [os.getpid(), there.fileno(), spare.fileno()]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _PROGRAM, *what, *map(str, how)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # picamera2 prints
                pass_fds=(there.fileno(), spare.fileno()),
                process_group=0,  # a Ctrl-C at the terminal is for this process
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            self.line.close()
            raise DeviceError(f"the camera's process cannot be started: {error}") from error
        finally:
            there.close()
            spare.close()

    @property
    def fate(self) -> str:
        """How it ended, as far as that is known yet."""
        code = self._process.poll()
        if not code:
            return ""
        return f" (signal {-code})" if code < 0 else f" (exit code {code})"

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """At once: a camera that hangs does not close."""
        self._process.kill()

    def end(self) -> None:
        """Hang up, and wait until it is gone; one that does not go is killed.

        While the driver uploads a network, not even that ends it: it then goes when that is done.
        """
        self.line.close()
        try:
            self._process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_WAIT_SECONDS)
