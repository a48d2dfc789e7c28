"""A sensor whose camera and network live in a process of their own, which can reach nobody.

What a chip with a network inside does in silicon, this does with the kernel's help for any camera:
the child holds the pixels, opens no socket (glasses_sdk.sensors.confine) and has two pipes, aims in
and mask records out. This process starts it, names the engine to it and, when it dies, starts it
anew; a mask that was on its way is then lost and leaves a gap in `seq`.

The child is this module run as a program. Linux only.
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
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Protocol, Self, get_type_hints

import msgspec

from glasses_sdk.errors import ConfigError, DeviceError, DeviceLost, GlassesError, RecordingEnded
from glasses_sdk.protocols import Health, SensorInfo
from glasses_sdk.sensors import confine
from glasses_sdk.sensors.link import Engine, Hangup, Link, pipes, serve
from glasses_sdk.types import Mask, Roi

__all__ = ["IsolatedSensor", "Patience", "Spec"]

_OPEN_SECONDS = 20.0
_CLOSE_SECONDS = 1.0


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


@dataclass(frozen=True, slots=True)
class Patience:
    """When to give up: after `deaths` of the process within `within_s`, or once a live camera
    that said it was gone has given no mask for `away_s`.
    """

    deaths: int = 5
    within_s: float = 10.0
    away_s: float = 60.0


# This process


class IsolatedSensor:
    """A `Sensor` (glasses_sdk.protocols) whose engine runs in a locked-in process.

    `engine` is its name, as in `package.module:function`. A process that dies is started anew
    with the next frame but one: times and numbers go on, `health` says `restarting` meanwhile.
    So is a live camera that got lost, again and again with growing pauses; a recording's fault is
    raised. Build it in a thread that outlives it: the kernel ends the child with that thread.
    Raises what the engine cannot open with.
    """

    def __init__(self, engine: str, spec: Spec, patience: Patience | None = None) -> None:
        self._engine = engine
        self._spec = spec
        self._patience = patience or Patience()
        self._poller = select.epoll()  # stays the same descriptor when the pipe in it changes
        self._buried: list[_Child] = []
        self._trouble = ""
        self._over: GlassesError | None = None
        self._aim: tuple[Roi | None] | None = None
        self._newest = -1  # frame number
        self._dropped = self._dropped_before = 0
        self._deaths: list[float] = []
        self._barren = 0  # processes in a row that gave no mask
        self._alive_s = time.monotonic()
        self._start(spec, pause_s=0.0)
        try:
            self._link: Link | None = self._child.open(_OPEN_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self._info = self._link.info
        self._next_ns = self._link.next_ns

    @property
    def info(self) -> SensorInfo:
        return self._info

    def aim(self, roi: Roi | None) -> None:
        self._aim = (roi,)
        if self._link:
            self._link.aim(roi)

    def next_exposure_ns(self) -> int:
        due = self._next_ns
        return due if self._spec.lockstep else max(due, time.monotonic_ns())

    def fileno(self) -> int:
        return self._poller.fileno()

    def health(self) -> Health:
        if self._link:
            return Health("streaming", dropped=self._dropped)
        reason = f"{self._trouble}{self._last.fate}; it is being started anew"
        return Health("restarting", reason=reason[:200], dropped=self._dropped)

    def read(self) -> Mask | None:
        self._buried = [child for child in self._buried if not child.has_ended()]
        if self._over:
            raise self._over
        try:
            return self._read()
        except RecordingEnded as end:
            self._over = end
            raise
        except GlassesError as fault:
            self._recover(fault)
            return None

    def _read(self) -> Mask | None:
        if self._link is None:
            if not self._child.is_ready():
                return None
            self._link = self._child.open(0.0)
            if self._aim:
                self._link.aim(*self._aim)
        mask = self._link.read()
        if mask:
            self._note(mask.seq, self._link)
        return mask

    def _note(self, seq: int, link: Link) -> None:
        self._newest = seq
        self._next_ns = link.next_ns
        self._dropped = self._dropped_before + link.dropped
        self._barren = 0
        self._alive_s = time.monotonic()

    def _recover(self, fault: GlassesError) -> None:
        """Start anew after a crash or a live camera's fault; raise DeviceLost when it is enough."""
        crashed = isinstance(fault, Hangup)
        self._trouble = f"{'sensor-died' if crashed else 'sensor-lost'}: {fault}"
        self._bury()
        enough = self._has_died_enough() if crashed else self._is_gone(fault)
        if enough is not None:
            self._over = DeviceLost(f"{fault}{enough}")
            raise self._over from fault
        spec = self._spec.resumed(self._newest + 2, self._info.first_frame_ns)
        self._dropped_before = self._dropped - (self._newest + 1)
        pause_s = min(0.1 * 2**self._barren, 2.0) if self._barren else 0.0
        self._barren += 1
        try:
            self._start(spec, pause_s)
        except DeviceError as error:
            self._over = DeviceLost(str(error))
            raise self._over from error

    def _has_died_enough(self) -> str | None:
        now, patience = time.monotonic(), self._patience
        self._deaths = [at for at in self._deaths if now - at < patience.within_s] + [now]
        if len(self._deaths) < patience.deaths:
            return None
        return f", {patience.deaths} times within {patience.within_s:.0f} s"

    def _is_gone(self, fault: GlassesError) -> str | None:
        if not (self._spec.live and isinstance(fault, DeviceError)):
            return ""
        away_s = time.monotonic() - self._alive_s
        return f", for {away_s:.0f} s" if away_s > self._patience.away_s else None

    def _start(self, spec: Spec, pause_s: float) -> None:
        self._link = None
        self._child = _Child(self._engine, spec, pause_s)
        self._poller.register(self._child.records, select.EPOLLIN)

    def _bury(self) -> None:
        self._poller.unregister(self._child.records)
        self._child.hang_up()
        self._buried.append(self._child)
        self._last = self._child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._poller.close()
        self._child.hang_up()
        for child in (self._child, *self._buried):
            child.end()


class _Child:
    """The process with camera and network, from outside.

    Raises DeviceError when it cannot be started.
    """

    def __init__(self, engine: str, spec: Spec, pause_s: float) -> None:
        aims_in, self._aims, self.records, records_out = pipes()
        self._link: Link | None = None
        self._lockstep = spec.lockstep
        self._hung_up_s: float | None = None
        self._late_s = time.monotonic() + pause_s + _OPEN_SECONDS
        what = [engine, msgspec.json.encode(spec).decode()]
        how = [pause_s, aims_in, records_out, int(spec.lockstep), os.getpid()]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *what, *map(str, how)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(aims_in, records_out),
                process_group=0,  # a Ctrl-C at the terminal is for this process
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            self.hang_up()
            raise DeviceError(f"the sensor's process cannot be started: {error}") from error
        finally:
            os.close(aims_in)
            os.close(records_out)

    def is_ready(self) -> bool:
        """Whether `open` would not wait. Raises Hangup when it has been too long."""
        if time.monotonic() > self._late_s:
            raise Hangup(f"the sensor's process has not opened within {_OPEN_SECONDS:.0f} s")
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
    aims, records, lockstep, parent = how
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not confine.hide(parent):
        return
    why_not = confine.lock_in()
    confine.close_all_but({0, 1, 2, aims, records})
    if _hung_up(aims, pause_s):
        return

    def open_engine() -> Engine:
        opened = _open(engine, spec)
        return _attested(opened, why_not or confine.seal())

    serve(open_engine, aims, records, bool(lockstep))


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
