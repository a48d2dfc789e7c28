"""Frames of a camera on the Raspberry Pi's own connector, by picamera2, for a host sensor.

Such a camera needs Raspberry Pi's pipeline from raw to picture, which is libcamera; OpenCV cannot
open it. Everything that it needs it opens before the first frame: a locked-in process may open
nothing for writing later.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
# (picamera2 has no types, and is not installed where these are checked)

from __future__ import annotations

import select
import time
from typing import Any

from glasses_sdk.errors import DeviceError, DeviceLost
from glasses_sdk.sensors.frames import Frame
from glasses_sdk.sensors.pi import (
    asleep_ns,
    exposure_ns,
    monotonic,
    refusal,
    told,
    unimportable,
)
from glasses_sdk.types import Size

__all__ = ["PiCamera"]

_LONGER_SIDE = 1280  # of a picture: the network sees far less, and the Pi has more to do
_RATE_HZ = 30.0
_PERIOD_NS = round(1e9 / _RATE_HZ)
_OLD_NS = 250_000_000  # no picture is on its way for so long
_BUFFERS = 4
_FIRST_FRAME_S = 5.0
_STALLED_S = 2.0


class PiCamera:
    """`Frames` (glasses_sdk.sensors.frames) of the camera with this number, its whole view.

    Raises DeviceError when it is not there, in use, or gives no picture.
    """

    kind = "picamera2"

    def __init__(self, index: int, limit: int | None) -> None:
        self._name = f"picamera2:{index}"
        self._limit = limit
        self._taken: tuple[Any, int] | None = None  # the newest picture that nobody has read
        self._seq, self._read_ns = -1, 0
        self._camera = self._open(index)
        try:
            self.size = self._started()
            self.first_frame_ns = self._next_ns = self._newest(_FIRST_FRAME_S)[1]
        except BaseException:
            self.close()
            raise

    def read(self) -> Frame | None:
        if self._limit is not None and self._seq + 1 >= self._limit:
            return None
        picture, time_ns = self._newest(_STALLED_S)
        self._taken = None
        if time.monotonic_ns() - time_ns > _OLD_NS:  # it lay in its buffer while nobody read
            picture, time_ns = self._newest(_STALLED_S)
            self._taken = None
        passed = round((time_ns - self._read_ns) / _PERIOD_NS) if self._read_ns else 1
        self._seq += max(passed, 1)
        self._read_ns, self._next_ns = time_ns, time_ns + _PERIOD_NS
        return Frame(picture, time_ns, self._seq, "rgb")

    def next_ns(self) -> int:
        return self._next_ns

    def resume(self, seq: int, first_frame_ns: int) -> None:
        self._seq, self.first_frame_ns = seq - 1, first_frame_ns

    def close(self) -> None:
        self._camera.close()

    def _open(self, index: int) -> Any:
        try:
            from picamera2 import Picamera2
        except Exception as error:  # a ValueError, where NumPy is another than it was built for
            raise unimportable(error) from error
        try:
            cameras = len(Picamera2.global_camera_info())
            if index >= cameras:
                raise DeviceError(f"no camera {self._name}: libcamera finds {cameras}")
            return Picamera2(index)
        except DeviceError:
            raise
        except Exception as error:
            raise refusal(error, self._name) or DeviceError(
                f"{self._name} cannot be opened: {told(error)}"
            ) from error

    def _started(self) -> Size:
        camera = self._camera
        width, height = camera.camera_properties["PixelArraySize"]
        scale = min(_LONGER_SIDE / max(width, height), 1.0)
        try:
            config = camera.create_video_configuration(
                main={"size": (round(width * scale), round(height * scale)), "format": "BGR888"},
                raw=None,
                sensor={"output_size": (width // 2, height // 2), "bit_depth": 10},  # binned
                buffer_count=_BUFFERS,
                controls={"FrameRate": _RATE_HZ},
                queue=False,
                display=None,
                encode=None,
            )  # BGR888 is red, green, blue in memory
            camera.configure(config)
            camera.pre_callback = self._take
            camera.start(show_preview=None)  # no event loop of its own: `_wait` is it
        except Exception as error:
            raise DeviceError(f"{self._name} does not start: {told(error)}") from error
        return Size(*camera.camera_config["main"]["size"])

    def _newest(self, seconds: float) -> tuple[Any, int]:
        """The newest picture and its time. Raises DeviceLost when none comes in these seconds."""
        end_s = time.monotonic() + seconds
        arrivals = [self._camera.notifyme_r]
        while select.select(arrivals, [], [], 0 if self._taken else _left(end_s))[0]:
            self._camera.notifymeread.read()
            self._camera.process_requests(None)
        if self._taken is None:
            raise DeviceLost(f"{self._name} gives no picture: is its cable in?")
        return self._taken

    def _take(self, request: Any) -> None:
        metadata = request.get_metadata()
        now_ns = time.monotonic_ns()
        readout_ns = monotonic(metadata.get("SensorTimestamp"), now_ns, asleep_ns())
        readout_ns = now_ns if readout_ns is None else readout_ns
        middle_ns = readout_ns - exposure_ns(metadata.get("ExposureTime")) // 2
        self._taken = request.make_array("main"), middle_ns


def _left(end_s: float) -> float:
    return max(end_s - time.monotonic(), 0.0)
