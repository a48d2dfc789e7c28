"""An ordinary camera in the same port: no network inside, and pictures that are looked at."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from glasses_sdk.sensors.host import HostEngine, HostSpec, open_engine
from glasses_sdk.types import Roi, Size
from tests.imx500.device import EXPOSURE_NS, Device, Tensors, libcamera, plugged, traits_of

SENSOR = Size(2592, 1944)
PICTURE = Size(1280, 960)
SQUARE = Roi(400, 300, 160, 160)
"""Where the white square is, in pixels of the picture; all else is red."""

_PLUGS = ExitStack()


class PlainCamera(Device):
    """`brain` is never asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.links = {}
        self.properties |= {
            "Model": "ov5647",
            "PixelArraySize": libcamera.Size(SENSOR.width, SENSOR.height),
        }
        self.modes = {"SGBRG10_CSI2P": [(1296, 972), (2592, 1944)]}

    def _expose(self, request: Any) -> None:
        for stream, buffer in request.buffers.items():
            rows = np.zeros((stream.size.height, stream.stride), np.uint8)
            rows[:, : 3 * stream.size.width] = scene(stream.size).reshape(stream.size.height, -1)
            os.pwrite(buffer.planes[0].fd, rows.tobytes(), 0)

    def _metadata(self, frame: int) -> dict[str, Any]:
        return {
            "SensorTimestamp": self._starts_ns(frame),
            "ExposureTime": EXPOSURE_NS // 1000,
        }


def scene(size: Any) -> np.ndarray:
    """[height, width, 3] uint8, red first."""
    picture = np.zeros((size.height, size.width, 3), np.uint8)
    picture[..., 0] = 120
    left, top = int(SQUARE.left), int(SQUARE.top)
    picture[top : top + int(SQUARE.height), left : left + int(SQUARE.width)] = 255
    return picture


def blind(frame: int, region: Roi) -> Tensors:
    raise AssertionError("an ordinary camera has no network")


def open_plain(spec: HostSpec) -> HostEngine:
    """The host sensor's engine over it, for a process of its own; plugged in until that ends."""
    folder = Path(os.environ["FAKE_IMX500_FOLDER"])
    traits = traits_of(os.environ.get("FAKE_IMX500", json.dumps({})))
    _PLUGS.enter_context(plugged(PlainCamera(blind, folder, traits)))
    return open_engine(spec)
