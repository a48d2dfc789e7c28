"""What all cameras that picamera2 opens have in common: their clock, and their errors in our words.

`SensorTimestamp` is when the readout of a frame starts: the end of its first row's exposure. It is
taken by the kernel, on the monotonic clock or, where libcamera says so, on the one that also counts
suspended time (CLOCK_BOOTTIME); the two differ by as long as the computer has slept.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator

from glasses_sdk.errors import DeviceError

__all__ = ["asleep_ns", "exposure_ns", "monotonic", "refusal", "told", "unimportable"]

_RECENT_NS = 5_000_000_000


def asleep_ns() -> int:
    """How far the boot-time clock is ahead of the monotonic one."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def monotonic(sensor_ns: object, now_ns: int, asleep: int) -> int | None:
    """A sensor timestamp on the monotonic clock; None where it makes sense on neither."""
    if isinstance(sensor_ns, int):
        for candidate in (sensor_ns, sensor_ns - asleep):
            if 0 <= now_ns - candidate < _RECENT_NS:
                return candidate
    return None


def exposure_ns(exposure_us: object) -> int:
    """`ExposureTime` in ns; 0 where the metadata has none that makes sense."""
    sensible = isinstance(exposure_us, int | float) and 0 < exposure_us < 10_000_000
    return round(exposure_us * 1000) if sensible else 0  # pyright: ignore[reportOperatorIssue, reportUnknownArgumentType]


def unimportable(error: Exception) -> DeviceError:
    """Why there is no picamera2: not here, or built for another Python, NumPy or libcamera."""
    if isinstance(error, ModuleNotFoundError):
        return DeviceError(
            "this camera needs picamera2 and libcamera: sudo apt install imx500-all "
            "python3-picamera2, and in a virtual environment python3 -m venv "
            f"--system-site-packages ({error})"
        )
    return DeviceError(
        f"picamera2 is here, but cannot be imported ({type(error).__name__}: {told(error)}): "
        "glasses doctor says what to do"
    )


def refusal(error: Exception, camera: str) -> DeviceError | None:
    """What an error of picamera2 says of the camera, where it is one that every camera has."""
    busy = os.strerror(errno.EBUSY)  # libcamera's errors have words alone
    if any(getattr(one, "errno", None) == errno.EBUSY for one in _chain(error)) or (
        busy in told(error)
    ):
        return DeviceError(f"{camera} is in use: `sudo fuser -v /dev/media*` says by what; end it")
    if any(isinstance(one, PermissionError) for one in _chain(error)):
        return DeviceError(
            f"{camera} is not yours to use ({told(error)}): sudo usermod -aG video $USER, then log "
            "in again"
        )
    return None


def told(error: BaseException) -> str:
    """The words of an error and of what it came from, in one line."""
    return "; ".join(dict.fromkeys(" ".join(str(one).split()) for one in _chain(error)))[:300]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
