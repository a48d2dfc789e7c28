"""A look goes in, the object's mask comes out, the picture stays in the sensor.

Public names are resolved when they are first touched: `import glasses_sdk` itself loads nothing.
"""

# No `from __future__ import annotations` here: it would hide the module of that name.

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glasses_sdk.config import Config, load_config
    from glasses_sdk.errors import (
        ConfigError,
        DataError,
        DeviceError,
        DeviceLost,
        GlassesError,
        ModelError,
        RecordingEnded,
        StaleStream,
        StreamError,
        WireError,
    )
    from glasses_sdk.gaze_map import GazeMap
    from glasses_sdk.pipeline import Pipeline
    from glasses_sdk.protocols import GazeSource, Health, Sensor, SensorInfo
    from glasses_sdk.tracker import RoiTracker
    from glasses_sdk.transport import (
        AsyncMaskSubscriber,
        Control,
        MaskPublisher,
        MaskSubscriber,
        StreamConfig,
    )
    from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size
    from glasses_sdk.wire import StreamedMask

    __version__: str

__all__ = [
    "AsyncMaskSubscriber",
    "Config",
    "ConfigError",
    "Control",
    "DataError",
    "DeviceError",
    "DeviceLost",
    "Gaze",
    "GazeMap",
    "GazeSource",
    "GlassesError",
    "HeadPose",
    "Health",
    "Mask",
    "MaskPublisher",
    "MaskSubscriber",
    "ModelError",
    "Pipeline",
    "RecordingEnded",
    "Roi",
    "RoiTracker",
    "Sensor",
    "SensorInfo",
    "Size",
    "StaleStream",
    "StreamConfig",
    "StreamError",
    "StreamedMask",
    "WireError",
    "__version__",
    "load_config",
]

_HOMES = {
    "config": "Config load_config",
    "errors": "ConfigError DataError DeviceError DeviceLost GlassesError ModelError RecordingEnded "
    "StaleStream StreamError WireError",
    "gaze_map": "GazeMap",
    "pipeline": "Pipeline",
    "protocols": "GazeSource Health Sensor SensorInfo",
    "tracker": "RoiTracker",
    "transport": "AsyncMaskSubscriber Control MaskPublisher MaskSubscriber StreamConfig",
    "types": "Gaze HeadPose Mask Roi Size",
    "wire": "StreamedMask",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value = _version()
    elif name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    """The installed version; `0+checkout` where the package is used without being installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("glasses-sdk")
    except PackageNotFoundError:
        return "0+checkout"


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
