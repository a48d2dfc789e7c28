"""Parts of ours by themselves, or in turn with the bare library call that they stand on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import cv2
import numpy as np

from glasses_sdk.bench.scene import FRAME, frame_of_looks, picture, ready_logits, ready_mask
from glasses_sdk.crop import crop
from glasses_sdk.sensors.imx500.tensors import parse
from glasses_sdk.tracker import RoiTracker
from glasses_sdk.types import Roi, Size

__all__ = ["crop_ratio", "tensors_us", "tracker_ratio"]

_AT_ONCE = 20


def crop_ratio(rounds: int) -> float:
    """Our crop over cv2.resize of the same pixels, by their medians."""
    frame = picture()
    roi, size = Roi(200, 120, 240, 240), Size(96, 96)
    return _ratio(
        lambda: crop(frame, roi, size),
        lambda: cv2.resize(frame[120:360, 200:440], (96, 96), interpolation=cv2.INTER_LINEAR),
        rounds,
    )


def tensors_us(rounds: int) -> float:
    """What a mask and its score take out of an IMX500's tensors, as picamera2 hands them over."""
    logits, fit = ready_logits(), np.zeros(5, np.float32)
    tensors = [np.asfortranarray(logits[None]), fit]
    cells = Size(*logits.shape)
    return median(_spent_ns(lambda: parse(tensors, cells)) for _ in range(rounds * _AT_ONCE)) / 1e3


def tracker_ratio(rounds: int) -> float | None:
    """All that the tracker does for a frame, over one predict and update of filterpy.

    None where filterpy is not installed: nothing but this and the tests needs it.
    """
    tracker, kalman = RoiTracker(FRAME), _kalman()
    if kalman is None:
        return None
    measured = np.array([[320.0], [240.0]])
    first = ready_mask(0, 0)
    masks = (
        replace(first, seq=seq, time_ns=seq * 33_333_333) for seq in range(1, rounds * _AT_ONCE + 1)
    )
    ready = iter(list(masks))

    def ours() -> None:
        frame_of_looks(tracker, next(ready))

    def bare() -> None:
        kalman.predict()
        kalman.update(measured)

    return _ratio(ours, bare, rounds)


def _kalman() -> Any:
    try:
        from filterpy.kalman import KalmanFilter
    except ModuleNotFoundError:
        return None
    kalman: Any = KalmanFilter(dim_x=4, dim_z=2)
    kalman.F = np.eye(4) + np.diag([1 / 30, 1 / 30], 2)
    kalman.H = np.eye(2, 4)
    return kalman


def _ratio(ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> float:
    """Each call by itself: of a longer stretch, the slower has the busy machine's pauses in it."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        for work, spent in zip((ours, bare), times, strict=True):
            spent.extend(_spent_ns(work) for _ in range(_AT_ONCE))
    return median(times[0]) / median(times[1])


def _spent_ns(work: Callable[[], object]) -> int:
    start_ns = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start_ns
