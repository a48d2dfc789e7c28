"""What a host sensor is to open: a record that travels to the process of its own."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["HostSpec", "Pace"]

Pace = Literal["realtime", "every"]


class HostSpec(msgspec.Struct, frozen=True):
    """What to open: picklable, so that it can be sent to a process of its own.

    source  `webcam:0`, `picamera2:0`, `video:FILE`, `images:DIR` or `synthetic:SEED`
    frames  how many; a recording that is shorter is looped
    start   number of the first frame, counted from `first_frame_ns` on: set to go on with a
            recording or a session whose first part has been seen already
    """

    source: str
    model: str
    pace: Pace = "realtime"
    frames: int | None = None
    images_hz: float = 2.0
    threads: int = 1
    start: int = 0
    first_frame_ns: int = 0

    @property
    def lockstep(self) -> bool:
        """Whether each frame waits for its aim."""
        return self.pace == "every"

    @property
    def live(self) -> bool:
        """Whether it is a camera, which may come back after it was lost."""
        return self.source.startswith(("webcam", "picamera2"))

    def resumed(self, start: int, first_frame_ns: int) -> HostSpec:
        """The same, going on with frame `start`."""
        return msgspec.structs.replace(self, start=start, first_frame_ns=first_frame_ns)
