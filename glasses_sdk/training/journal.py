"""What a run writes down as it goes on: metrics.csv."""

from __future__ import annotations

import csv
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from glasses_sdk.errors import ModelError
from glasses_sdk.training.ranks import Rank
from glasses_sdk.training.recipe import Schedule

__all__ = ["Journal", "Standing"]

_COLUMNS = ("step", "loss", "iou", "learning_rate", "regions_per_second")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands after `step` of `steps`."""

    step: int
    steps: int
    loss: float
    regions_per_second: float


@dataclass(frozen=True, slots=True, eq=False)
class _Noted:
    """A step that was computed, or is still being computed."""

    step: int
    instances: list[int]
    loss: Tensor
    iou: Tensor


class Journal:
    """A row for each checkpoint: means since the one before, of this rank's share of the regions.

    A GPU still computes one step while the next is prepared, so its losses are looked at a step
    late; asked at once, it would wait for the processor each time.
    """

    def __init__(
        self,
        path: Path,
        first: int,
        plan: Schedule,
        rank: Rank,
        report: Callable[[Standing], None],
    ) -> None:
        self._path, self._first, self._plan, self._rank = path, first, plan, rank
        self._report = report
        self._late = rank.device.type != "cpu"
        self._open: deque[_Noted] = deque()
        self._seen: list[tuple[float, float]] = []
        self._started = time.perf_counter()
        if rank.leads:
            rows = _rows(path, first)
            self._write("w", [_COLUMNS, *([row.get(name) for name in _COLUMNS] for row in rows)])

    def note(self, step: int, instances: list[int], loss: Tensor, iou: Tensor) -> None:
        """A step. Raises ModelError, with the instances, for a loss that is no number."""
        self._open.append(_Noted(step, instances, loss.detach(), iou.detach()))
        while len(self._open) > self._late:
            self._look()

    def close(self, step: int, learning_rate: float) -> None:
        """The row of the checkpoint after `step`. Raises ModelError where it cannot be written."""
        while self._open:
            self._look()
        loss, iou = (sum(part) / len(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        if self._rank.leads:
            speed = f"{self._speed(step):.1f}"
            row = [step + 1, f"{loss:.5f}", f"{iou:.4f}", f"{learning_rate:.3e}", speed]
            self._write("a", [row])

    def _look(self) -> None:
        one = self._open.popleft()
        loss = one.loss.item()
        if not math.isfinite(loss):
            raise ModelError(f"loss is {loss} at step {one.step}, instances {one.instances}")
        self._seen.append((loss, one.iou.item()))
        self._report(Standing(one.step + 1, self._plan.steps, loss, self._speed(one.step)))

    def _speed(self, step: int) -> float:
        seconds = time.perf_counter() - self._started
        return (step + 1 - self._first) * self._plan.batch / seconds

    def _write(self, mode: str, rows: list[Any]) -> None:
        try:
            with self._path.open(mode, newline="") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise ModelError(f"cannot write {self._path}: {error.strerror}") from error


def _rows(path: Path, until: int) -> list[dict[str, str]]:
    """Those up to this step: what was written after the last checkpoint will be done again."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if int(row["step"]) <= until]
