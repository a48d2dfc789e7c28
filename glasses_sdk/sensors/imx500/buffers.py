"""Frame buffers that this process cannot look into.

picamera2's own allocator maps each buffer into memory as it makes it. Here they are descriptors
that go to the kernel and come back. Imported by `camera` alone, where picamera2 is installed.
"""

# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false
# pyright: reportIncompatibleMethodOverride=false
# (picamera2 has no types, and is not installed where these are checked)

from __future__ import annotations

import os
from typing import Any

import libcamera
from picamera2.allocators import Allocator
from picamera2.dma_heap import DmaHeap

__all__ = ["Unmapped"]


class Unmapped(Allocator):
    """An allocator of picamera2, from the kernel's heap of buffers."""

    def __init__(self) -> None:
        self.sync = _Unsynced
        self._buffers: dict[Any, list[Any]] = {}
        self._descriptors: list[int] = []
        self._heap: Any = None
        self._heap = DmaHeap()

    def allocate(self, libcamera_config: Any, use_case: Any) -> None:
        self._free()
        for one in libcamera_config:
            buffers = [self._buffer(i, one.frame_size) for i in range(one.buffer_count)]
            self._buffers[one.stream] = buffers

    def _buffer(self, index: int, size: int) -> Any:
        plane = libcamera.FrameBuffer.Plane()
        plane.fd = self._heap.alloc(f"glasses-{index}", size).get()
        plane.offset = 0
        plane.length = size
        self._descriptors.append(plane.fd)
        return libcamera.FrameBuffer([plane])

    def buffers(self, stream: Any) -> list[Any]:
        return self._buffers[stream]

    def _free(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._buffers, self._descriptors = {}, []

    def __del__(self) -> None:  # this is how picamera2 lets go of it
        self._free()
        if self._heap is not None:
            self._heap.close()


class _Unsynced:
    """What is never read needs no cache put in order; picamera2 asks for that at every frame."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
