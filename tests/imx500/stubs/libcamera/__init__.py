"""Stands in for libcamera's Python binding, as far as picamera2 0.3.38 reaches into it.

Cameras, configurations, requests and the manager's event descriptor behave as the binding's do;
what a frame shows and when it comes is up to the device that is plugged in (`plug`), an object with
`start`, `stop`, `queue` and `acquire`. Rectangles follow libcamera's own rules.
"""

from __future__ import annotations

import enum
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

# Geometry


class Point:
    def __init__(self, x: int = 0, y: int = 0) -> None:
        self.x, self.y = x, y


class Size:
    def __init__(self, width: int = 0, height: int = 0) -> None:
        _integers(width, height)
        self.width, self.height = int(width), int(height)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and (self.width, self.height) == (other.width, other.height)

    def __hash__(self) -> int:
        return hash((self.width, self.height))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


class Rectangle:
    def __init__(self, *sides: Any) -> None:
        x, y, width, height = sides or (0, 0, 0, 0)
        _integers(x, y, width, height)
        if width < 0 or height < 0:
            raise TypeError("incompatible constructor arguments: sizes are unsigned")
        self.x, self.y, self.width, self.height = int(x), int(y), int(width), int(height)

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    @property
    def center(self) -> Point:
        return Point(self.x + self.width // 2, self.y + self.height // 2)

    def bounded_to(self, other: Rectangle) -> Rectangle:
        """The intersection; without one, of size 0."""
        left, top = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        bottom = min(self.y + self.height, other.y + other.height)
        return Rectangle(left, top, max(right - left, 0), max(bottom - top, 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rectangle) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.x, self.y, self.width, self.height))

    def __str__(self) -> str:
        return f"({self.x}, {self.y})/{self.width}x{self.height}"


def _integers(*values: Any) -> None:
    """The binding takes no floats."""
    for value in values:
        if isinstance(value, float):
            raise TypeError("incompatible constructor arguments: integers are wanted")


# Names


class Transform:
    def __init__(self, *orientation: Any, hflip: int = 0, vflip: int = 0, transpose: int = 0):
        self.hflip, self.vflip, self.transpose = bool(hflip), bool(vflip), bool(transpose)

    def __hash__(self) -> int:
        return hash((self.hflip, self.vflip, self.transpose))

    def __str__(self) -> str:
        return "identity"


class Orientation(enum.Enum):
    Rotate0 = 1
    Rotate0Mirror = 2
    Rotate180 = 3
    Rotate180Mirror = 4
    Rotate90Mirror = 5
    Rotate270 = 6
    Rotate270Mirror = 7
    Rotate90 = 8


class ColorSpace:
    class YcbcrEncoding(enum.Enum):
        Null = 0
        Rec601 = 1
        Rec709 = 2

    class Range(enum.Enum):
        Full = 0
        Limited = 1

    def __init__(self, other: Any) -> None:
        name = other.primaries if isinstance(other, ColorSpace) else other
        self.primaries = self.transferFunction = name
        self.ycbcrEncoding = self.YcbcrEncoding.Rec601
        self.range = self.Range.Full

    def __hash__(self) -> int:
        return hash(self.primaries)

    def __str__(self) -> str:
        return str(self.primaries)

    @classmethod
    def Sycc(cls) -> ColorSpace:  # noqa: N802 - the binding's name
        return cls("sycc")

    @classmethod
    def Smpte170m(cls) -> ColorSpace:  # noqa: N802
        return cls("smpte170m")

    @classmethod
    def Rec709(cls) -> ColorSpace:  # noqa: N802
        return cls("rec709")

    @classmethod
    def Raw(cls) -> ColorSpace:  # noqa: N802
        return cls("raw")


class ControlType(enum.Enum):
    Null = 0
    Bool = 1
    Byte = 2
    Integer32 = 3
    Integer64 = 4
    Float = 5
    String = 6
    Rectangle = 7
    Size = 8


class StreamRole(enum.Enum):
    Raw = 0
    StillCapture = 1
    VideoRecording = 2
    Viewfinder = 3


class PixelFormat:
    def __init__(self, name: str = "") -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class ControlId:
    def __init__(self, name: str, type_: ControlType) -> None:
        self.name, self.type = name, type_


class ControlInfo:
    def __init__(self, low: Any, high: Any, usual: Any) -> None:
        self.min, self.max, self.default = low, high, usual


class _Names(types.ModuleType):
    """`controls` and `properties`: the ids that there are, and enumerations by any name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = _Names(f"{self.__name__}.{name}")
        setattr(self, name, found)
        return found

    def __hash__(self) -> int:
        return hash(self.__name__)


controls = _Names("libcamera.controls")
properties = _Names("libcamera.properties")
formats = _Names("libcamera.formats")
CONTROLS = {
    "ExposureTime": (ControlType.Integer32, ControlInfo(13, 66_000, 20_000)),
    "AnalogueGain": (ControlType.Float, ControlInfo(1.0, 16.0, 1.0)),
    "ExposureTimeMode": (ControlType.Integer32, ControlInfo(0, 1, 0)),
    "AnalogueGainMode": (ControlType.Integer32, ControlInfo(0, 1, 0)),
    "FrameDurationLimits": (ControlType.Integer64, ControlInfo(16_667, 1_000_000, 33_333)),
    "NoiseReductionMode": (ControlType.Integer32, ControlInfo(0, 4, 0)),
    "CnnEnableInputTensor": (ControlType.Bool, ControlInfo(False, True, False)),
}
IDS = {name: ControlId(name, type_) for name, (type_, _) in CONTROLS.items()}
for _id in IDS.values():
    setattr(controls, _id.name, _id)


# Streams and requests


class StreamFormats:
    def __init__(self, sizes: dict[str, list[tuple[int, int]]]) -> None:
        self._sizes = sizes
        self.pixel_formats = [PixelFormat(name) for name in sizes]

    def sizes(self, pixel_format: PixelFormat) -> list[Size]:
        return [Size(*size) for size in self._sizes[str(pixel_format)]]


class StreamConfiguration:
    def __init__(self, role: StreamRole, modes: dict[str, list[tuple[int, int]]]) -> None:
        self.role = role
        self.stream = self
        self.configuration = self
        self.size = Size(640, 480)
        self.pixel_format = PixelFormat("YUV420")
        self.buffer_count = 1
        self.stride = 0
        self.color_space: Any = None
        self.formats = StreamFormats(modes)

    @property
    def is_yuv(self) -> bool:
        return str(self.pixel_format) == "YUV420"

    @property
    def frame_size(self) -> int:
        return self.stride * self.size.height * (3 if self.is_yuv else 2) // 2


class SensorConfiguration:
    bit_depth = 0
    output_size = Size()


class CameraConfiguration:
    class Status(enum.Enum):
        Valid = 0
        Adjusted = 1
        Invalid = 2

    def __init__(self, streams: list[StreamConfiguration]) -> None:
        self._streams = streams
        self.orientation = Orientation.Rotate0
        self.sensor_config: Any = None

    def at(self, index: int) -> StreamConfiguration:
        return self._streams[index]

    def __iter__(self) -> Iterator[StreamConfiguration]:
        return iter(self._streams)

    def validate(self) -> Status:
        """Pads lines to 64 bytes, as the hardware does."""
        for stream in self._streams:
            width = stream.size.width * (1 if stream.is_yuv else 3)
            stream.stride = -(-width // 64) * 64
        return self.Status.Adjusted


class FrameMetadata:
    class Status(enum.Enum):
        Success = 0
        Error = 1
        Cancelled = 2

    def __init__(self) -> None:
        self.status = self.Status.Success


class FrameBuffer:
    class Plane:
        fd = -1
        offset = 0
        length = 0

    def __init__(self, planes: list[Plane]) -> None:
        self.planes = planes
        self.metadata = FrameMetadata()


class FrameBufferAllocator:
    def __init__(self, camera: Camera) -> None:
        raise NotImplementedError("picamera2 takes its buffers from the kernel's heap")


class Request:
    class Status(enum.Enum):
        Pending = 0
        Complete = 1
        Cancelled = 2

    def __init__(self, cookie: Any) -> None:
        self.cookie = cookie
        self.buffers: dict[StreamConfiguration, FrameBuffer] = {}
        self.reuse()

    def reuse(self) -> None:
        self.status = self.Status.Pending
        self.metadata: dict[ControlId, Any] = {}

    def add_buffer(self, stream: StreamConfiguration, buffer: FrameBuffer) -> None:
        self.buffers[stream] = buffer

    def set_control(self, id_: ControlId, value: Any) -> None:
        SET.append((id_.name, value))


SET: list[tuple[str, Any]] = []
"""Every control that was ever set, by name."""


class Camera:
    """The camera of a device; one program has it at a time."""

    def __init__(self, id_: str, device: Any) -> None:
        self.id = id_
        self._device = device
        self.properties = {
            ControlId(name, ControlType.Null): value for name, value in device.properties.items()
        }
        self.controls = {IDS[name]: info for name, (_, info) in CONTROLS.items()}

    def acquire(self) -> None:
        self._device.acquire()

    def release(self) -> None:
        self._device.release()

    def generate_configuration(self, roles: list[StreamRole]) -> CameraConfiguration:
        modes = self._device.modes
        return CameraConfiguration([StreamConfiguration(role, modes) for role in roles])

    def configure(self, configuration: CameraConfiguration) -> int:
        self._device.configured = configuration
        return 0

    def create_request(self, cookie: Any) -> Request:
        return Request(cookie)

    def start(self, chosen: dict[ControlId, Any]) -> None:
        SET.extend((id_.name, value) for id_, value in chosen.items())
        self._device.start()

    def stop(self) -> None:
        self._device.stop()

    def queue_request(self, request: Request) -> None:
        self._device.queue(request)


class CameraManager:
    _one: CameraManager | None = None

    def __init__(self) -> None:
        self.cameras: list[Camera] = []
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._ready: list[Request] = []

    @classmethod
    def singleton(cls) -> CameraManager:
        if cls._one is None:
            cls._one = cls()
        return cls._one

    def get(self, id_: str) -> Camera:
        return next(camera for camera in self.cameras if camera.id == id_)

    def complete(self, request: Request, metadata: dict[str, Any]) -> None:
        """A device has filled this request."""
        request.status = Request.Status.Complete
        request.metadata = {
            ControlId(name, ControlType.Null): value for name, value in metadata.items()
        }
        with self._lock:
            self._ready.append(request)
        os.eventfd_write(self.event_fd, 1)

    def get_ready_requests(self) -> list[Request]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            return []
        with self._lock:
            ready, self._ready = self._ready, []
        return ready


_libcamera = types.ModuleType("libcamera._libcamera")
_libcamera.ColorSpace = ColorSpace  # type: ignore[attr-defined]
_libcamera.Transform = Transform  # type: ignore[attr-defined]
for _module in (controls, properties, formats, _libcamera):
    sys.modules[_module.__name__] = _module
