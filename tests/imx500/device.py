"""A fake IMX500 under the real picamera2: sensor, driver, and the files of both.

The device takes regions by ioctl, puts each into effect some frames later (how many is its own
secret), runs a network on what the region shows of a scene, and hands the tensors out as libcamera
does. It can be told to fail in the ways that the real one is known to.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "stubs"))

import libcamera
import picamera2  # noqa: F401 - once the stand-ins can be found
import picamera2.allocators.dmaallocator as dmaallocator
import picamera2.devices.imx500.imx500 as real
import picamera2.dma_heap as dma_heap
import videodev2

from glasses_sdk.types import Roi, Size

SENSOR = Size(4056, 3040)
ID = "/base/axi/pcie@120000/rp1/i2c@88000/imx500@1a"
_SYS = "/sys/class/video4linux/v4l-subdev2/device"
_LINKS = {
    _SYS: "../../../10-001a",
    f"{_SYS}/driver/module": "../../../../module/imx500",
    f"{_SYS}/of_node": f"../../../../firmware/devicetree{ID}",
}
_NODE = "/dev/v4l-subdev2"
EXPOSURE_NS = 10_000_000
_MOST = 4032  # the control's largest value
_COUNT = 250  # the network's count of the first frame: it wraps soon

Tensors = Sequence[np.ndarray]
Brain = Callable[[int, Roi], Tensors]
"""What the network makes of a frame's region: number, region -> tensors."""


@dataclass(frozen=True)
class Traits:
    """How a device behaves. Shares are of frames, times in seconds, counts in frames.

    faulty_lives  how often it is started with its faults before it works
    """

    lag: int = 2
    jitter: int = 0
    seed: int = 0
    rate_hz: float = 30.0
    drop: float = 0.0
    reorder: float = 0.0
    upload_s: float = 0.0
    upload_fails: bool = False
    upload_hangs: bool = False
    tensors_stop_after: int | None = None
    unplugged_after: int | None = None
    refuses_regions_after: int | None = None
    hangs_after: int | None = None
    junk_after: int | None = None
    faulty_lives: int = 0
    present: bool = True


class Command(NamedTuple):
    first: int  # frame that is the first to show the region
    region: Roi


@dataclass
class Device:
    """`folder`: its state that outlives a process: upload, lives, who has it.

    With `paced` false, frames come by `tick` alone and time is the device's own.
    """

    brain: Brain
    folder: Path
    traits: Traits = field(default_factory=Traits)
    paced: bool = True

    def __post_init__(self) -> None:
        self.properties = {
            "Model": "imx500",
            "Location": 2,
            "Rotation": 180,
            "PixelArraySize": libcamera.Size(SENSOR.width, SENSOR.height),
            "ColorFilterArrangement": 0,
        }
        self.modes = {"SRGGB10_CSI2P": [(2028, 1520), (4056, 3040)]}
        self.links = _LINKS
        self.configured: Any = None
        self.regions: list[tuple[int, int, int, int]] = []  # as they were set
        self.shown: dict[int, Roi] = {}  # by readout time
        self.network = b""
        self.heap: list[int] = []
        self._random = random.Random(self.traits.seed)
        self._period_ns = round(1e9 / self.traits.rate_hz)
        self._commands: list[Command] = []
        self._queued: deque[Any] = deque()
        self._held: tuple[Any, dict[str, Any]] | None = None
        self._lock = threading.RLock()
        self._running = threading.Event()
        self.first_ns = 0
        self._next = 0
        self._own_ns = time.monotonic_ns()
        self._owner: int | None = None
        self.lives = 0

    # Time

    def now_ns(self) -> int:
        return time.monotonic_ns() if self.paced else self._own_ns

    def _starts_ns(self, frame: int) -> int:
        return self.first_ns + frame * self._period_ns

    # What libcamera asks for

    def acquire(self) -> None:
        owner = os.open(self.folder / "owner", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(owner)
            raise RuntimeError("Failed to acquire camera: Device or resource busy") from error
        self._owner = owner

    def release(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def start(self) -> None:
        """Uploads the network, and keeps the interpreter for itself as libcamera does."""
        self.lives = self._another_life()
        sleep = ctypes.PyDLL(None).usleep
        steps = 10
        for step in range(steps if self.traits.upload_s else 0):
            (self.folder / "progress").write_text(f"2 {step * 1000} {steps * 1000}\n")
            sleep(int(self.traits.upload_s / steps * 1e6))
        while self._fails(self.traits.upload_hangs):
            sleep(1_000_000)
        if self._fails(self.traits.upload_fails):
            raise OSError(errno.EIO, "Failed to start camera: Input/output error")
        (self.folder / "progress").write_text("2 10000 10000\n")
        self.first_ns, self._next = self.now_ns() + self._period_ns, 0
        self._running.set()
        if self.paced:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _another_life(self) -> int:
        lives = self.folder / "lives"
        count = int(lives.read_text()) + 1 if lives.exists() else 1
        lives.write_text(str(count))
        return count

    def _fails(self, fault: bool) -> bool:
        return fault and self.lives <= self.traits.faulty_lives

    def _is_over(self, after: int | None) -> bool:
        return after is not None and self._fails(True) and self._next >= after

    def stop(self) -> None:
        self._running.clear()
        if self.paced:
            self._thread.join()
        self._queued.clear()

    def queue(self, request: Any) -> None:
        self._queued.append(request)

    # Frames

    def _run(self) -> None:
        while self._running.is_set():
            ready_ns = self._starts_ns(self._next) + self._period_ns
            time.sleep(max(ready_ns - self.now_ns(), 0) / 1e9)
            if self._is_over(self.traits.hangs_after):
                while True:  # with the interpreter, for good
                    ctypes.PyDLL(None).usleep(1_000_000)
            if self._running.is_set() and not self._is_over(self.traits.unplugged_after):
                self._deliver()
            self._next += 1

    def tick(self) -> int:
        """One more frame: its readout is over, and half of the next one's. How many are there."""
        self._own_ns = self._starts_ns(self._next) + round(1.4 * self._period_ns)
        delivered = self._deliver()
        self._next += 1
        return delivered

    def _deliver(self) -> int:
        """The frame's request; now and then after the one that comes next. How many came."""
        if not self._queued:
            return 0
        done = self._queued.popleft(), self._metadata(self._next)
        self._expose(done[0])
        if self._held is None and self._random.random() < self.traits.reorder:
            self._held = done
            return 0
        later, self._held = self._held, None
        manager = libcamera.CameraManager.singleton()
        ready = [one for one in (done, later) if one]
        for request, metadata in ready:
            manager.complete(request, metadata)
        return len(ready)

    def _expose(self, request: Any) -> None:
        """Puts the picture into the request's buffers; what nobody may look at stays empty."""

    def _metadata(self, frame: int) -> dict[str, Any]:
        starts_ns = self._starts_ns(frame)
        metadata = {
            "SensorTimestamp": starts_ns,
            "ExposureTime": EXPOSURE_NS // 1000,
            "FrameDuration": self._period_ns // 1000,
            "ScalerCrop": libcamera.Rectangle(0, 0, SENSOR.width, SENSOR.height),
            "CnnKpiInfo": [11_820, 940],
        }
        region = self.shown[starts_ns] = self.in_effect(frame)
        if self._random.random() < self.traits.drop or self._is_over(
            self.traits.tensors_stop_after
        ):
            return metadata
        tensors = self.brain(frame, region)
        metadata |= tensor_metadata(tensors, frame + _COUNT)
        if self._is_over(self.traits.junk_after):
            metadata["CnnOutputTensor"] = metadata["CnnOutputTensor"][:50]
        return metadata

    def in_effect(self, frame: int) -> Roi:
        """The region that the network sees in this frame: the newest that has got through."""
        with self._lock:
            through = [command for command in self._commands if command.first <= frame]
        return through[-1].region if through else Roi(0, 0, _MOST, SENSOR.height)

    # The driver

    def ioctl(self, descriptor: Any, request: int, argument: Any) -> int:
        if self._is_over(self.traits.unplugged_after):
            raise OSError(errno.ENODEV, "No such device")
        if request == videodev2.VIDIOC_S_CTRL and argument.id == real.NETWORK_FW_FD_CTRL_ID:
            if self._running.is_set():  # the driver holds this control while it streams
                raise OSError(errno.EBUSY, "Device or resource busy")
            size = os.fstat(argument.value).st_size
            self.network = os.pread(argument.value, size, 0)
        elif request == videodev2.VIDIOC_S_EXT_CTRLS:
            control = argument.controls[0]
            assert (control.id, control.size) == (real.ROI_CTRL_ID, 16)
            self._set_region(tuple(control.p_u32[i] for i in range(4)))
        else:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return 0

    def _set_region(self, asked: tuple[int, ...]) -> None:
        if self._is_over(self.traits.refuses_regions_after):
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        left, top, width, height = (min(value, _MOST) for value in asked)
        if not (width and height):
            left, top, width, height = 0, 0, _MOST, SENSOR.height
        self.regions.append((left, top, width, height))
        with self._lock:
            late = self.traits.lag + self._random.randint(0, self.traits.jitter)
            first = self._first_after(self.now_ns()) + late if self._running.is_set() else 0
            first = max([first, *(command.first for command in self._commands[-1:])])
            self._commands.append(Command(first, Roi(left, top, width, height)))

    def _first_after(self, time_ns: int) -> int:
        return (time_ns - self.first_ns) // self._period_ns + 1

    # Files

    def open(self, path: Any, *how: Any, **more: Any) -> Any:
        if str(path) != _NODE:
            return builtins.open(path, *how, **more)  # noqa: PTH123 - picamera2's own
        return (self.folder / "node").open("wb+", buffering=0)

    def check_output(self, command: list[str], **_: Any) -> str:
        if "imx500-fw" in command[1]:
            progress = self.folder / "progress"
            return progress.read_text() if progress.exists() else "0 0 0\n"
        if "rp2040-spi" in command[1]:
            return "0\n"
        raise subprocess.CalledProcessError(1, command)

    def heap_ioctl(self, descriptor: int, request: int, argument: Any) -> int:
        if request == dma_heap.DMA_HEAP_IOCTL_ALLOC:
            argument.fd = os.memfd_create("picture")
            os.ftruncate(argument.fd, argument.len)
            self.heap.append(argument.fd)
        return 0


def tensor_metadata(tensors: Tensors, count: int) -> dict[str, list[Any]]:
    """As libcamera has them: floats, the first axis fastest, and a packed record of the shapes."""
    info = real.CnnOutputTensorInfoExported()
    info.network_name = b"double"
    info.num_tensors = len(tensors)
    info.frameCount = count % 256
    for slot, tensor in zip(info.info, tensors, strict=False):
        slot.tensor_data_num = tensor.size
        slot.num_dimensions = tensor.ndim
        slot.size[: tensor.ndim] = tensor.shape
    flat = np.concatenate([tensor.ravel(order="F") for tensor in tensors])
    return {
        "CnnOutputTensor": flat.astype(np.float32).tolist(),
        "CnnOutputTensorInfo": list(bytes(info)),
    }


class _Instead:
    """A module with some of its names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def plugged(device: Device) -> Iterator[Device]:
    """The device in the camera port of this process; no file of picamera2 is changed."""
    there = device.traits.present
    links = device.links if there else {}
    path = _Instead(
        os.path,
        exists=lambda one: one in links or os.path.exists(one),  # noqa: PTH110
        islink=lambda one: one in links or os.path.islink(one),  # noqa: PTH114
    )
    files = _Instead(os, path=path, readlink=lambda one: links.get(one) or os.readlink(one))  # noqa: PTH115
    heap = _Instead(
        os,
        open=lambda name, flags: (
            os.memfd_create("heap") if name in dma_heap.heapNames else os.open(name, flags)
        ),
    )
    replaced = [
        (real, "os", files),
        (real, "fcntl", _Instead(fcntl, ioctl=device.ioctl)),
        (real, "subprocess", _Instead(subprocess, check_output=device.check_output)),
        (real, "open", device.open),
        (dma_heap, "os", heap),
        (dma_heap, "fcntl", _Instead(fcntl, ioctl=device.heap_ioctl)),
        (dmaallocator, "fcntl", _Instead(fcntl, ioctl=device.heap_ioctl)),
    ]
    before = [(module, name, vars(module).get(name)) for module, name, _ in replaced]
    cameras = libcamera.CameraManager.singleton().cameras
    try:
        for module, name, value in replaced:
            setattr(module, name, value)
        cameras[:] = [libcamera.Camera(ID, device)] if there else []
        yield device
    finally:
        for module, name, value in before:
            if value is None:
                delattr(module, name)
            else:
                setattr(module, name, value)
        cameras.clear()


def traits_of(text: str) -> Traits:
    """As they travel to another process."""
    return Traits(**json.loads(text))
