"""The camera itself, by picamera2: the only file that touches it, and it never touches a picture.

libcamera gives no tensors without a picture stream. So there is one, as small as it may be, and its
buffers are never mapped into this process: they go from the camera to the kernel and back.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# (picamera2 has no types, and is not installed where these are checked)

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from glasses_sdk.errors import DeviceError, ModelError
from glasses_sdk.sensors.imx500.aim import Chip
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.sensors.pi import refusal, told, unimportable
from glasses_sdk.types import Roi, Size

__all__ = ["Camera", "Frame", "Picamera", "open_camera"]

_PICTURE = (64, 48)  # libcamera makes it larger where the hardware wants that
_BUFFERS = 6
_NETWORK_STAGE = 2  # of the upload: loader and main firmware come before
_JUNK = ValueError, TypeError, IndexError, KeyError, OverflowError  # what cut or odd metadata raise


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What one frame's metadata says.

    tensors     as the network gave them, None for a frame without result
    shapes      of the tensors
    count       the network's own frame count, 0 to 255
    sensor_ns   start of the readout, on one of the kernel's clocks
    exposure_us as libcamera has it
    kpi         dnn, dsp in ms
    """

    tensors: list[npt.NDArray[Any]] | None
    shapes: list[list[int]]
    count: int
    sensor_ns: Any
    exposure_us: Any
    kpi: tuple[float, float] | None


class Camera(Protocol):
    """What the engine needs of a camera."""

    chip: Chip

    def fileno(self) -> int:
        """Readable when `take` has something."""
        ...

    def take(self) -> list[Frame]:
        """The frames since the last call, as they came. Does not block."""
        ...

    def move(self, region: Roi) -> None:
        """Set the region that the network sees. Raises DeviceError when the driver refuses."""
        ...


class Picamera:
    """A `Camera` of picamera2. Closed until `start`, which blocks while the network is uploaded.

    Raises ModelError for a network that is missing or damaged, DeviceError for a camera that is
    not there or in use.
    """

    def __init__(self, spec: Imx500Spec) -> None:
        imx500, picamera2, self._tensor_info, unmapped = _libraries()
        rpk = Path(spec.rpk).resolve()
        if not rpk.is_file():
            raise ModelError(f"no network {rpk}: name one that is there, as in imx500:FILE.rpk")
        self._arrived: list[Frame] = []
        self._picam2: Any = None
        with _translated(rpk):
            self._imx500 = imx500(str(rpk))  # before the camera is opened, says picamera2
        try:
            least = self._input_size(rpk)
            with _translated(rpk):
                number = self._place(picamera2.global_camera_info())
                self._picam2 = picamera2(number, allocator=unmapped())
                size = Size(*self._picam2.camera_properties["PixelArraySize"])
                self._configure(size, spec.rate_hz)
        except BaseException:
            self.close()
            raise
        self.chip = Chip(size, least)

    def _place(self, cameras: list[dict[str, Any]]) -> int:
        """Where picamera2 lists this camera: `camera_num` is where libcamera does."""
        numbers = [camera["Num"] for camera in cameras]
        return numbers.index(self._imx500.camera_num)

    def _input_size(self, rpk: Path) -> Size:
        size = self._imx500.config.get("input_tensor_size")
        if size is None:
            raise ModelError(f"{rpk} does not say its network's input size: make it anew")
        return Size(*size)

    def _configure(self, size: Size, rate_hz: float) -> None:
        camera = self._picam2
        config = camera.create_preview_configuration(
            main={"size": _PICTURE, "format": "YUV420"},
            raw=None,
            sensor={"output_size": (size.width // 2, size.height // 2), "bit_depth": 10},  # binned
            buffer_count=_BUFFERS,
            controls={"FrameRate": rate_hz},
            queue=False,
            display=None,
            encode=None,
        )
        camera.configure(config)
        camera.pre_callback = self._note

    def start(self) -> None:
        """With the whole sensor for its region. Raises DeviceError when the network cannot be
        uploaded.
        """
        self.move(self.chip.whole)
        try:
            self._picam2.start(show_preview=None)  # no event loop of its own: `take` is it
        except Exception as error:
            raise DeviceError(f"the camera does not start: {told(error)}") from error

    def progress(self) -> float | None:
        """How much of the network is uploaded, 0 to 1; None where nobody can tell."""
        if self._imx500.fw_progress == self._imx500.FwProgressType.NONE:
            return None
        try:
            done, total = self._imx500.get_fw_upload_progress(_NETWORK_STAGE)
        except Exception:  # the file is gone, or half written
            return None
        return min(done / total, 1.0) if total else 0.0

    def fileno(self) -> int:
        return self._picam2.notifyme_r

    def take(self) -> list[Frame]:
        self._picam2.notifymeread.read()
        self._picam2.process_requests(None)
        arrived, self._arrived = self._arrived, []
        return arrived

    def _note(self, request: Any) -> None:
        """Metadata only: the picture is never looked at."""
        self._arrived.append(self._frame(request.get_metadata()))

    def _frame(self, metadata: dict[str, Any]) -> Frame:
        tensors = None
        shapes: list[list[int]] = []
        count = 0
        try:
            tensors = self._imx500.get_outputs(metadata)
            if tensors is not None:
                shapes = self._imx500.get_output_shapes(metadata)
                count = self._count(metadata["CnnOutputTensorInfo"])
        except _JUNK:
            tensors = None
        return Frame(
            tensors,
            shapes,
            count,
            metadata.get("SensorTimestamp"),
            metadata.get("ExposureTime"),
            self._kpi(metadata),
        )

    def _kpi(self, metadata: dict[str, Any]) -> tuple[float, float] | None:
        try:
            return self._imx500.get_kpi_info(metadata)
        except _JUNK:
            return None

    def _count(self, info: Any) -> int:
        return int(bytes(info)[self._tensor_info.frameCount.offset])

    def move(self, region: Roi) -> None:
        box = (int(region.left), int(region.top), int(region.width), int(region.height))
        self._imx500.config.pop("roi", None)  # picamera2 only prints a failure: it then stays away
        self._imx500.set_inference_roi_abs(box)
        set_ = self._imx500.config.get("roi")
        if set_ is None or set_.to_tuple() != box:
            raise DeviceError(f"the driver refuses the region {box}: see dmesg")

    def close(self) -> None:
        """Stops the camera, if it runs."""
        if self._picam2 is not None:
            self._picam2.close()
        self._imx500.device_fd.close()


def open_camera(spec: Imx500Spec) -> Picamera:
    """The camera of a computer that has one."""
    return Picamera(spec)


def _libraries() -> tuple[Any, Any, Any, Any]:
    try:
        from picamera2 import Picamera2  # pyright: ignore[reportMissingImports]
        from picamera2.devices.imx500 import IMX500  # pyright: ignore[reportMissingImports]
        from picamera2.devices.imx500.imx500 import (  # pyright: ignore[reportMissingImports]
            CnnOutputTensorInfoExported,
        )

        from glasses_sdk.sensors.imx500.buffers import Unmapped
    except Exception as error:  # a ValueError, where NumPy is another than it was built for
        raise unimportable(error) from error
    counts = hasattr(CnnOutputTensorInfoExported, "frameCount")
    if not counts or not hasattr(IMX500, "FwProgressType"):
        raise DeviceError(
            "this picamera2 is too old: sudo apt update && sudo apt full-upgrade, for 0.3.35 or "
            "newer"
        )
    return IMX500, Picamera2, CnnOutputTensorInfoExported, Unmapped


@contextmanager
def _translated(rpk: Path) -> Generator[None]:
    """picamera2's errors, of any class, in our words."""
    try:
        yield
    except Exception as error:
        raise _ours(error, rpk) from error


def _ours(error: Exception, rpk: Path) -> DeviceError | ModelError:
    if refused := refusal(error, "the IMX500"):
        return refused
    words = told(error)
    if "dev-node not found" in words or isinstance(error, StopIteration):
        return DeviceError(
            "no IMX500 here: is the cable in, and dtoverlay=imx500 or camera_auto_detect=1 in "
            "/boot/firmware/config.txt?"
        )
    elsewhere = isinstance(error, OSError) and error.filename not in (None, str(rpk))
    about_it = "footer" in words or "networkNum" in words
    if elsewhere or (isinstance(error, RuntimeError) and not about_it):
        return DeviceError(f"the IMX500 cannot be opened: {words}")
    return ModelError(f"{rpk} is no network of an IMX500, or damaged: {words}")
