"""A contender: the process that publishes, the process that subscribes, the camera between."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from glasses_sdk.bench.scene import TICK
from glasses_sdk.errors import GlassesError

__all__ = ["Contender", "Program"]

_PATIENCE_S = 60.0  # until a program is ready: it loads libraries and a network
_FRAME_S = 5.0
_END_S = 2.0
_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1"}  # it keeps a file for it
_ATTEMPTS = 20  # a subscription takes its time


class Program:
    """A process of ours whose standard output is read line by line; ended by `with`.

    A Ctrl-C at the terminal is not for it, and it dies with this process.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = " ".join([module, *arguments[:1]])
        self._rest = b""
        paths = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"glasses_sdk.bench.{module}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            env=os.environ | {"PYTHONPATH": paths} | _ENVIRONMENT,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout

    def line(self, seconds: float = _PATIENCE_S) -> str:
        """The next line. Raises GlassesError when the program ends, or it does not come in time."""
        deadline_s = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left_s = max(deadline_s - time.monotonic(), 0)
            if not select.select([self._output], [], [], left_s)[0]:
                raise GlassesError(f"bench: `{self._name}` said nothing for {seconds:.0f} s")
            piece = self._output.read(4096)
            if not piece:
                raise GlassesError(f"bench: `{self._name}` ended with {self._process.wait()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def of_frame(self, seq: int) -> list[int]:
        """The numbers that it prints for this frame, beyond the frame's own; older ones pass."""
        while True:
            number, *rest = (int(word) for word in self.line(_FRAME_S).split())
            if number == seq:
                return rest

    def says_something(self, seconds: float) -> bool:
        """Whether there is a line, or an end, before this time is over."""
        return b"\n" in self._rest or bool(select.select([self._output], [], [], seconds)[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._output.close()
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Contender:
    """Both processes and the named pipe. Built it is starting, `connect` waits until it works."""

    def __init__(
        self, name: str, folder: Path, sender: tuple[str, str, str], receiver: tuple[str, str]
    ) -> None:
        self.name = name
        self._receiver = receiver
        self._seq = 0
        fifo = folder / name
        os.mkfifo(fifo)
        with ExitStack() as stack:
            self._camera = os.open(fifo, os.O_RDWR)  # as a reader too: then it opens at once
            stack.callback(os.close, self._camera)
            module, role, model = sender
            self.sender = stack.enter_context(Program(module, role, str(fifo), *_given(model)))
            self._open = stack.pop_all()

    def connect(self) -> None:
        """Start the subscriber, and tick until a mask has come through."""
        self.address = self.sender.line()
        self.receiver = self._open.enter_context(Program(*self._receiver, self.address))
        for program in (self.sender, self.receiver):
            program.line()
        for _ in range(_ATTEMPTS):
            self.tick()
            if self.receiver.says_something(seconds=1.0):
                return
        raise GlassesError(f"bench: no mask of `{self.name}` reaches its subscriber")

    def tick(self) -> int:
        """A frame is there: returns its number."""
        self._seq += 1
        os.write(self._camera, TICK.pack(self._seq, time.monotonic_ns()))
        return self._seq

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()


def _given(model: str) -> list[str]:
    return [model] if model else []
