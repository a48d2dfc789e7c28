"""A computer without picamera2: opens the camera where nobody can import it."""

from __future__ import annotations

import sys

sys.modules["picamera2"] = None  # type: ignore[assignment]

from glasses_sdk.sensors.imx500.camera import open_camera  # noqa: E402

__all__ = ["open_camera"]
