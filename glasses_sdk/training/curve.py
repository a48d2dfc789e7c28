"""A run's metrics.csv as a picture, by matplotlib (extra: train)."""

# pyright: reportUnknownMemberType=false
# (matplotlib types only a part of itself)

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

__all__ = ["draw"]

_PANELS = (("loss", "loss"), ("iou", "IoU on the training regions"))


def draw(metrics: Path, png: Path) -> None:
    """Loss and IoU over the steps; nothing where nothing was written down yet."""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return
    figure = Figure(figsize=(10, 4), dpi=100)
    for number, (column, title) in enumerate(_PANELS, start=1):
        axes = figure.add_subplot(1, len(_PANELS), number)
        points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        axes.plot(*zip(*points, strict=True), marker=".")
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(png)
