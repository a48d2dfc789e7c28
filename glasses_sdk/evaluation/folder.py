"""What `glasses evaluate --report DIR` leaves in the folder."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import cv2

from glasses_sdk.errors import ConfigError
from glasses_sdk.evaluation.report import Report
from glasses_sdk.evaluation.sheet import sheet

__all__ = ["prepare", "save"]


def prepare(folder: Path) -> None:
    """Make the folder, before an evaluation's minutes are spent.

    Raises ConfigError where it cannot be made or matplotlib is not here.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "a report is drawn with matplotlib, which is not here: pip install 'glasses-sdk[eval]'"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"nothing can be written to {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"nothing can be written to {folder}: it is read-only")


def save(report: Report, folder: Path) -> None:
    """metrics.json (what `--json` prints), plots.png and sheet.png; the cases must have been kept.

    Raises ConfigError where the folder cannot be written, DataError where a picture has gone.
    """
    from glasses_sdk.evaluation.plots import plot

    sheets = cv2.imencode(".png", cv2.cvtColor(sheet(report.cases), cv2.COLOR_RGB2BGR))[1]
    try:
        (folder / "metrics.json").write_text(json.dumps(report.to_json(), indent=1) + "\n")
        (folder / "sheet.png").write_bytes(sheets.tobytes())
        plot(report, folder / "plots.png")
    except OSError as error:
        raise ConfigError(f"no report can be written to {folder}: {error.strerror}") from error
