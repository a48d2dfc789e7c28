"""What is measured of a release, and its metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import msgspec

from glasses_sdk.errors import ModelError
from glasses_sdk.evaluation import Settings

__all__ = ["IMPRECISE", "Found", "Metrics", "Report", "read_metrics", "settings", "write_metrics"]

IMPRECISE = 0.2  # of the box, as in the PicoSAM3 paper


def settings(precision: str, network: str, skip_bad: bool = False) -> dict[str, Settings]:
    """What is measured of a file of this precision, by the names that metrics.json has for it.

    The floats are measured in every way, what was made of them only where it may have lost; a
    click of PicoSAM2's kind is measured of PicoSAM2.
    """
    floats = precision == "fp32"
    asked = {
        "box": Settings("box", baselines=floats, skip_bad=skip_bad),
        "tight": Settings("tight", baselines=floats, skip_bad=skip_bad),
    }
    if network == "picosam2":
        asked["point"] = Settings("point", baselines=floats, skip_bad=skip_bad)
    if floats:
        asked["box_imprecise"] = Settings("box", box_error=IMPRECISE, skip_bad=skip_bad)
        asked["tight_imprecise"] = Settings("tight", box_error=IMPRECISE, skip_bad=skip_bad)
        asked["servo"] = Settings("servo", skip_bad=skip_bad)
    return asked


class Score(msgspec.Struct, frozen=True):
    correlation: float | None


class Found(msgspec.Struct, frozen=True):
    """A source's figures: those that a card shows of what docs/reference/evaluation.md has."""

    n: int
    miou: float = nan
    map: float = nan
    boundary_f: float = nan
    score: Score = Score(None)
    baselines: dict[str, Found] = {}
    passes: dict[str, float] = {}
    oracle: float = nan
    oracle_square: float = nan
    best_scale: float = nan


class Report(msgspec.Struct, frozen=True):
    model: str
    sources: dict[str, Found]


Metrics = dict[str, dict[str, Report]]
"""Precision, then name of the measurement (`settings`)."""


def write_metrics(path: Path, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """metrics.json out of what `evaluation.Report.to_json` gave."""
    text = msgspec.json.format(msgspec.json.encode(reports), indent=1)
    path.write_bytes(text + b"\n")


def read_metrics(path: Path, digests: Mapping[str, str]) -> Metrics:
    """metrics.json of a release whose files have these sha256, by precision.

    Raises ModelError where there is none, or it is of other files.
    """
    again = "measure them: glasses models measure"
    try:
        metrics = msgspec.json.decode(path.read_bytes(), type=Metrics)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"no figures in {path} ({error}); {again}") from error
    measured = {kind: {one.model[-8:] for one in found.values()} for kind, found in metrics.items()}
    if measured != {kind: {digest[:8]} for kind, digest in digests.items()}:
        raise ModelError(f"{path} has the figures of other files than those beside it; {again}")
    return metrics
