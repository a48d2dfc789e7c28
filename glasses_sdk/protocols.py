"""The seams. A backend is whatever keeps one of these contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, runtime_checkable

from glasses_sdk.types import Gaze, HeadPose, Mask, Roi, Size

__all__ = ["GazeSource", "HeadSource", "Health", "Sensor", "SensorInfo"]

SensorState = Literal["starting", "loading", "streaming", "stalled", "restarting", "stopping"]


@dataclass(frozen=True, slots=True)
class SensorInfo:
    """What a sensor is, known once it is open.

    size            of the full sensor, pixels
    mask            cells of its masks
    model           name@first 8 hex digits of the model file's sha256
    isolation       where pixels are locked in: `silicon`, `process` or `none`
    input_tensor    can it give its input picture away: `absent`, `off`, `unknown`, `on`
    first_frame_ns  monotonic time of the first frame: recordings are replayed from it
    """

    kind: str
    size: Size
    mask: Size
    model: str
    isolation: Literal["silicon", "process", "none"]
    input_tensor: Literal["absent", "off", "unknown", "on"]
    first_frame_ns: int


@dataclass(frozen=True, slots=True)
class Health:
    """How a sensor is. `reason` is `code: sentence` when something is wrong."""

    state: SensorState
    reason: str | None = None
    progress: float | None = None
    dropped: int = 0
    latency_frames: int | None = None
    kpi: tuple[float, float] | None = None  # dnn, dsp in ms: the IMX500's own figures


class Sensor(Protocol):
    """A camera that segments where it is aimed: a region goes in, masks come out, pixels never do.

    Open when it has been built; whoever builds it closes it, with `with`. No method blocks.
    """

    @property
    def info(self) -> SensorInfo:
        """What this sensor is."""
        ...

    def aim(self, roi: Roi | None) -> None:
        """Look there from the next possible frame on; None: nobody looks, masks may be empty.

        Regions are intersected with the sensor. In a recording of which every frame is wanted,
        this also says that the next frame may come.
        """
        ...

    def next_exposure_ns(self) -> int:
        """When the shutter opens for the next frame that an `aim` can still reach."""
        ...

    def fileno(self) -> int:
        """A descriptor that is readable when `read` has something."""
        ...

    def read(self) -> Mask | None:
        """The newest mask since the last call, None when there is none.

        Its `roi` is the region that it truly covers. Raises DeviceLost once the camera is gone
        for good, RecordingEnded at the end of a recording that is not looped.
        """
        ...

    def health(self) -> Health:
        """How it is now."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class GazeSource(Protocol):
    """Something that can say where the wearer looks."""

    def read(self) -> Sequence[Gaze]:
        """The samples since the last call, oldest first; empty while the eyes are shut.

        Never blocks. Raises DeviceLost once the device is gone for good.
        """
        ...

    @property
    def reason(self) -> str | None:
        """What is wrong with its samples now, `code: sentence`; None when all is well."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


@runtime_checkable
class HeadSource(Protocol):
    """What a gaze source is as well whose glasses measure how the head turns."""

    def poses(self) -> Sequence[HeadPose]:
        """The head's poses since the last call, oldest first, each with its angular rate.

        On the clock of the source's gaze. Never blocks.
        """
        ...
