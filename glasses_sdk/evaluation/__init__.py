"""How good a network is on annotated pictures, with onnxruntime alone (extra: eval).

`evaluate` runs one of four protocols. `box` (PicoSAM3), `tight` and `point` (PicoSAM2) look once
and judge the mask in the region, cell by cell; `servo` lets the runtime's own tracker work from a
click and judges what it hands on in the whole picture.
"""

from __future__ import annotations

from glasses_sdk.evaluation.judging import View
from glasses_sdk.evaluation.regions import region
from glasses_sdk.evaluation.report import Report, below_ellipse, evaluate, measure
from glasses_sdk.evaluation.scores import Calibration, Marks, Part, Score, boundary_f, iou
from glasses_sdk.evaluation.servo import ServoScore
from glasses_sdk.evaluation.settings import Clicks, Protocol, Settings

__all__ = [
    "Calibration",
    "Clicks",
    "Marks",
    "Part",
    "Protocol",
    "Report",
    "Score",
    "ServoScore",
    "Settings",
    "View",
    "below_ellipse",
    "boundary_f",
    "evaluate",
    "iou",
    "measure",
    "region",
]
