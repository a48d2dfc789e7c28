"""What an IMX500 is to open: a record that travels to the camera's process."""

from __future__ import annotations

import msgspec

__all__ = ["MOST_LATENCY_FRAMES", "Imx500Spec"]

MOST_LATENCY_FRAMES = 6
"""Assumed where nobody has measured it: `glasses calibrate latency roi` does."""


class Imx500Spec(msgspec.Struct, frozen=True):
    """What to open.

    rpk             the network's file
    latency_frames  frames from a move of the region to the first that shows it, beyond the next
                    one; None: not measured
    jitter_frames   how many more it may take
    hold_settling   give no settling mask of another place than the one asked for
    rate_hz         frames a second
    """

    rpk: str
    latency_frames: int | None = None
    jitter_frames: int = 1
    hold_settling: bool = False
    rate_hz: float = 30.0

    @property
    def probable_frames(self) -> int:
        """The lag to reckon with."""
        return MOST_LATENCY_FRAMES // 2 if self.latency_frames is None else self.latency_frames

    @property
    def most_frames(self) -> int:
        """The lag that is never exceeded."""
        lag = MOST_LATENCY_FRAMES if self.latency_frames is None else self.latency_frames
        return lag + self.jitter_frames

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.rate_hz)
