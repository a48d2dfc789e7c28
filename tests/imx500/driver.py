"""What the camera's process opens in the tests: the real camera code over a fake device.

The device's traits stand in the environment. Its network finds one white square that never moves.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from glasses_sdk.sensors.imx500.camera import Picamera, open_camera
from glasses_sdk.sensors.imx500.spec import Imx500Spec
from glasses_sdk.types import Roi, Size
from tests.imx500.device import Device, Tensors, plugged, traits_of

_PLUGS = ExitStack()
SQUARE = Roi(1000, 800, 400, 400)


class Finder:
    """The perfect network for that square."""

    def __init__(self, cells: Size) -> None:
        self._cells = cells

    def __call__(self, frame: int, region: Roi) -> Tensors:
        x = region.left + (np.arange(self._cells.width) + 0.5) * region.width / self._cells.width
        y = region.top + (np.arange(self._cells.height) + 0.5) * region.height / self._cells.height
        inside_x = (x >= SQUARE.left) & (x < SQUARE.right)
        inside_y = (y >= SQUARE.top) & (y < SQUARE.bottom)
        return [np.where(inside_y[:, None] & inside_x, 4.0, -4.0).astype(np.float32)[None]]


def open_fake(spec: Imx500Spec) -> Picamera:
    """Stays plugged in until the process ends."""
    folder = Path(os.environ["FAKE_IMX500_FOLDER"])
    traits = traits_of(os.environ["FAKE_IMX500"])
    side = int(os.environ.get("FAKE_IMX500_CELLS", "16"))
    _PLUGS.enter_context(plugged(Device(Finder(Size(side, side)), folder, traits)))
    return open_camera(spec)
