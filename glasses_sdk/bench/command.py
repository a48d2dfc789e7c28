"""`glasses bench`: the run, its table or JSON, and the limits."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from glasses_sdk.bench.measure import measure
from glasses_sdk.bench.report import FLOORS, Limits, Report, SensorKind, misses
from glasses_sdk.errors import ConfigError

__all__ = ["limits_of", "run"]


def run(
    model: Path, sensor: str, rounds: int, masks: int, limits: Limits | None, as_json: bool
) -> list[str]:
    """Measure and show; returns a line for each limit that is exceeded."""
    for kind in get_args(SensorKind):
        if kind == sensor:
            report = measure(model, kind, rounds, masks, _say)
            print(json.dumps(report.to_json()) if as_json else _table(report))
            return misses(report, limits) if limits else []
    raise ConfigError(f"no sensor {sensor!r} to measure; known: host, isolated, ready")


def limits_of(changes: Sequence[str]) -> Limits:
    """The limits, some of them changed: `NAME=VALUE`. Raises ConfigError."""
    known = [field.name for field in fields(Limits)]
    values: dict[str, float] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known:
            raise ConfigError(f"no limit {name!r}; known: {', '.join(known)}")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise ConfigError(f"a limit is a number, as {name}=1.5, not {change!r}") from error
    return Limits(**values)


def _say(sentence: str) -> None:
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def _table(report: Report) -> str:
    rows = [f"{'µs':12} {'p50':>10} {'p99':>10}"]
    for name, spread in (report.stages | report.ends).items():
        rows.append(f"{name:12} {spread.p50_us:10.1f} {spread.p99_us:10.1f}")
    for sensor, floor in FLOORS.items():
        rows.append(f"{sensor} / {floor}: {report.ratio(sensor):.2f}")
    return "\n".join(
        [
            *rows,
            f"isolation {report.isolation_us:.0f} µs; crop {report.crop_ratio:.2f} of cv2.resize",
            *_tracker(report),
            f"tensors to a mask {report.tensors_us:.0f} µs",
            f"clock error {report.clock_error_us:.0f} µs; "
            f"growth in memory {report.rss_growth_bytes} bytes",
        ]
    )


def _tracker(report: Report) -> list[str]:
    if report.tracker_ratio is None:
        return []
    return [f"tracker {report.tracker_ratio:.1f} of filterpy's predict and update"]
