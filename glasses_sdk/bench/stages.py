"""The stages of a mask one by one, and what encoding and publishing leave behind in memory.

The calls are those of the loop, one after the other in one thread, with the clock read between
them. Run as `python -m glasses_sdk.bench.stages sender FIFO MODEL`, `receiver ADDRESS` or
`memory MASKS`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import zmq

from glasses_sdk.bench.scene import FRAME, frame_of_looks, ready_mask
from glasses_sdk.bench.still import StillFrames
from glasses_sdk.crop import crop
from glasses_sdk.geometry import visible
from glasses_sdk.network import Network
from glasses_sdk.protocols import SensorInfo
from glasses_sdk.sensors import confine
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.transport import MaskPublisher, StreamConfig
from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size
from glasses_sdk.wire import StreamedMask, decode, encode_mask

_START = Roi(200, 120, 240, 240)
_SECOND_NS = 1_000_000_000


class _Deaf:
    """Commands (glasses_sdk.transport) that do nothing."""

    def look(self, x: float, y: float, side: float | None, time_ns: int) -> None: ...
    def look_at(self, roi: Roi, time_ns: int) -> None: ...
    def release(self, time_ns: int) -> None: ...
    def gaze(self, name: str, gaze: Gaze) -> None: ...
    def head(self, name: str, pose: HeadPose) -> None: ...
    def refuse(self, what: str) -> None: ...


def _publisher(mask: Size) -> MaskPublisher:
    info = SensorInfo("still", FRAME, mask, "bench@00000000", "none", "unknown", 0)
    return MaskPublisher(StreamConfig(bind="tcp://127.0.0.1:*"), info, _Deaf())


def _say(*words: object) -> None:
    print(*words, flush=True)


class _Sender:
    """One frame after the other through all stages; the region is where the tracker wants it."""

    def __init__(self, fifo: str, model: str, publisher: MaskPublisher, network: Network) -> None:
        self._network = network
        self._frames = StillFrames(Path(fifo))
        self._publisher = publisher
        self._tracker = RoiTracker(FRAME)

    def step(self) -> list[int] | None:
        """The frame's number and ns of each stage in `SENT` (report.py); None at the end."""
        frame = self._frames.read()
        if frame is None:
            return None
        roi = self._tracker.predict(frame.time_ns) or _START
        seen = visible(roi, FRAME) or _START
        marks = [time.monotonic_ns()]
        view = crop(frame.picture, seen, self._network.input)
        rgb: Any = cv2.cvtColor(view, cv2.COLOR_BGR2RGB)
        marks.append(time.monotonic_ns())
        found = self._network.segment(rgb)
        marks.append(time.monotonic_ns())
        mask = Mask(found.bits, seen, FRAME, frame.time_ns, frame.seq, min(found.score, 1.0))
        mask = frame_of_looks(self._tracker, mask)
        marks.append(time.monotonic_ns())
        encode_mask(mask, self._publisher.origin, marks[-1])
        marks.append(time.monotonic_ns())
        self._publisher.send(mask)
        marks.append(time.monotonic_ns())
        return [frame.seq, *_stages(frame.time_ns, marks)]


def _stages(frame_ns: int, marks: list[int]) -> list[int]:
    """`send` encodes once more: what it takes beyond that is publishing."""
    *stages, encode, send = (b - a for a, b in zip([frame_ns, *marks], marks, strict=False))
    return [*stages, encode, max(send - encode, 0)]


def _send(fifo: str, model: str) -> None:
    network = Network(Path(model))
    with _publisher(network.input) as publisher:
        _say(publisher.addresses.stream)
        sender = _Sender(fifo, model, publisher, network)
        _say("ready")
        while times := sender.step():
            _say(*times)
            publisher.serve(timeout_ms=0)


def _receive(address: str) -> None:
    """Prints for each mask the number and ns of each stage in `RECEIVED` (report.py)."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe("g1.mask.")
        socket.connect(address)
        _say("ready")
        while True:
            frames = socket.recv_multipart()
            came_ns = time.monotonic_ns()
            mask = decode(frames)
            done_ns = time.monotonic_ns()
            assert isinstance(mask, StreamedMask)
            _say(mask.seq, came_ns - mask.published_ns, done_ns - came_ns)


# Memory


def _leave_behind(masks: int) -> None:
    """Prints by how many bytes the process grew over so many unpaced masks: the least of two runs.

    What leaks grows in both; an arena of Python's allocator is taken once. Before that come two
    seconds of the same, since the publisher counts the masks of a second.
    """
    with _publisher(Size(96, 96)) as publisher, zmq.Context() as context:
        listener: Any = context.socket(zmq.SUB)
        listener.subscribe(b"")
        listener.connect(publisher.addresses.stream)
        work = _Work(publisher, listener)
        end_ns = time.monotonic_ns() + 2 * _SECOND_NS
        while time.monotonic_ns() < end_ns:
            work.through(500)
        _say(min(work.through(masks) for _ in range(2)))
        listener.close(linger=0)


class _Work:
    """Masks through tracker, encoder and publisher, to somebody who listens."""

    def __init__(self, publisher: MaskPublisher, listener: Any) -> None:
        self._publisher = publisher
        self._listener = listener
        self._tracker = RoiTracker(FRAME)
        self._seq = 0

    def through(self, masks: int) -> int:
        """Bytes by which the process grew meanwhile."""
        before = _resident_bytes()
        for _ in range(masks):
            self._seq += 1
            mask = ready_mask(self._seq, self._seq * _SECOND_NS // 30)
            self._publisher.send(frame_of_looks(self._tracker, mask))
            if self._seq % 8 == 0:
                self._publisher.serve(timeout_ms=0)
                self._drain()
        return _resident_bytes() - before

    def _drain(self) -> None:
        while self._listener.poll(0):
            self._listener.recv_multipart()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    if confine.hide(os.getppid()):
        match sys.argv[1:]:
            case ["sender", fifo, model]:
                _send(fifo, model)
            case ["receiver", address]:
                _receive(address)
            case [_, masks]:
                _leave_behind(int(masks))
            case _:
                sys.exit("sender FIFO MODEL, receiver ADDRESS or memory MASKS")
