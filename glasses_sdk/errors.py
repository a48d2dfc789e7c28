"""Everything this SDK raises on purpose.

    GlassesError
    ├── ConfigError     a setting, a flag or an environment variable is wrong
    ├── DeviceError     a camera or an eye tracker does not do what it should
    │   └── DeviceLost  it was there and is gone
    │       └── RecordingEnded  a file that is not looped has no more frames
    ├── ModelError      a model file is missing, damaged or of the wrong shape
    ├── DataError       an annotation file, a recording or a picture is wrong
    ├── WireError       bytes that are not a message of the protocol
    └── StreamError     a stream cannot be opened, or a request was refused
        └── StaleStream nothing has arrived for too long; `reason` says why

Each carries one sentence: what was wrong, what was given, what to do.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "DeviceError",
    "DeviceLost",
    "GlassesError",
    "ModelError",
    "RecordingEnded",
    "StaleStream",
    "StreamError",
    "WireError",
]


class GlassesError(Exception):
    """The root: catch it to catch everything of ours."""


class ConfigError(GlassesError):
    """A setting, a flag or an environment variable is wrong."""


class DeviceError(GlassesError):
    """A camera or an eye tracker does not do what it should."""


class DeviceLost(DeviceError):
    """A device that was there is gone."""


class RecordingEnded(DeviceLost):
    """A recording that is not looped has no more frames."""


class ModelError(GlassesError):
    """A model file is missing, damaged or of the wrong shape."""


class DataError(GlassesError):
    """An annotation file, a recording or a picture is wrong."""


class WireError(GlassesError):
    """Bytes that are not a message of the protocol."""


class StreamError(GlassesError):
    """A stream cannot be opened, or a request was refused."""


class StaleStream(StreamError):
    """Nothing has arrived for too long.

    `reason` is one of `never-connected`, `refused-key`, `publisher-silent`, `stalled-sensor`.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
