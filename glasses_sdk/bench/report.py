"""What a run has measured, and what it must not exceed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

__all__ = ["FLOORS", "RECEIVED", "SENT", "Limits", "Report", "SensorKind", "Spread", "misses"]

SensorKind = Literal["host", "isolated", "ready"]

SENT = ("capture", "crop", "network", "tracker", "encode", "publish")
RECEIVED = ("receive", "decode")
"""The stages, by the process that they are measured in."""

FLOORS: dict[SensorKind, str] = {"host": "bare", "isolated": "bare", "ready": "bare-ready"}
"""Which bare program each of ours is measured against."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 99th percentile, in microseconds."""

    p50_us: float
    p99_us: float

    @classmethod
    def of(cls, times_ns: Sequence[int]) -> Spread:
        p50, p99 = np.percentile(times_ns, (50, 99)) / 1e3
        return cls(round(float(p50), 1), round(float(p99), 1))


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `ends` is from frame to decoded mask, by contender; `stages` by stage.

    `tracker_ratio` is None where filterpy is not installed; `tensors_us` is what a mask takes out
    of an IMX500's tensors.
    """

    sensor: SensorKind
    rounds: int
    stages: dict[str, Spread]
    ends: dict[str, Spread]
    crop_ratio: float
    tracker_ratio: float | None
    tensors_us: float
    clock_error_us: float
    rss_growth_bytes: int

    def ours_us(self, sensor: SensorKind) -> float:
        return self.ends[sensor].p50_us

    def floor_us(self, sensor: SensorKind) -> float:
        return self.ends[FLOORS[sensor]].p50_us

    def ratio(self, sensor: SensorKind) -> float:
        return self.ours_us(sensor) / self.floor_us(sensor)

    @property
    def isolation_us(self) -> float:
        """What the process boundary adds to the median."""
        return self.ours_us("isolated") - self.ours_us("host")

    def to_json(self) -> dict[str, Any]:
        """`ours`, `floor` and `ratio` are those of the sensor that was asked for."""
        return {
            **asdict(self),
            "ours_us": self.ours_us(self.sensor),
            "floor_us": self.floor_us(self.sensor),
            "ratio": round(self.ratio(self.sensor), 3),
            "isolation_us": round(self.isolation_us, 1),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still good enough. Ratios and differences are of medians."""

    host_ratio: float = 1.25
    ready_ratio: float = 1.5
    ready_added_us: float = 250.0
    isolation_us: float = 250.0
    crop_ratio: float = 1.3
    tracker_ratio: float = 10.0
    tensors_us: float = 100.0
    rss_growth_bytes: float = 1_000_000
    clock_error_us: float = 1000.0


def misses(report: Report, limits: Limits) -> list[str]:
    """One line for each limit that the run exceeds, none where all is well."""
    return [
        f"{name} is {round(found, 3):g}, at most {limit:g} is wanted"
        for name, found, limit in _checks(report, limits)
        if not found <= limit
    ]


def _checks(report: Report, limits: Limits) -> Iterator[tuple[str, float, float]]:
    added = report.ours_us("ready") - report.floor_us("ready")
    yield "ratio (host)", report.ratio("host"), limits.host_ratio
    yield "ratio (ready)", report.ratio("ready"), limits.ready_ratio
    yield "ours - floor (ready), µs", added, limits.ready_added_us
    yield "isolation, µs", report.isolation_us, limits.isolation_us
    yield "crop ratio", report.crop_ratio, limits.crop_ratio
    if report.tracker_ratio is not None:
        yield "tracker ratio", report.tracker_ratio, limits.tracker_ratio
    yield "tensors to a mask, µs", report.tensors_us, limits.tensors_us
    yield "growth in memory, bytes", report.rss_growth_bytes, limits.rss_growth_bytes
    yield "clock error, µs", report.clock_error_us, limits.clock_error_us
