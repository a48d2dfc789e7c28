"""A report as one picture of plots, by matplotlib (extra: eval)."""

# pyright: reportUnknownMemberType=false
# (matplotlib types only a part of itself)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glasses_sdk.evaluation.report import Report
from glasses_sdk.evaluation.scores import Part, Score
from glasses_sdk.evaluation.servo import PASSES, ServoScore

__all__ = ["plot"]

Panel = Callable[[Axes], None]


def plot(report: Report, path: Path) -> None:
    """Write the plots of a report whose cases were kept."""
    panels: list[Panel] = [lambda axes: _spread(axes, report)]
    scores = {name: one for name, one in report.sources.items() if isinstance(one, Score)}
    served = {name: one for name, one in report.sources.items() if isinstance(one, ServoScore)}
    panels += _of_regions(scores) if scores else _of_servo(served)
    across, down = min(len(panels), 3), -(-len(panels) // 3)
    figure = Figure(figsize=(6 * across, 4.5 * down), dpi=100)
    for number, panel in enumerate(panels, start=1):
        panel(figure.add_subplot(down, across, number))
    figure.suptitle(f"{report.model}, protocol {report.settings.protocol}")
    figure.tight_layout()
    figure.savefig(path)


def _of_servo(scores: dict[str, ServoScore]) -> list[Panel]:
    return [lambda axes: _passes(axes, scores)]


def _of_regions(scores: dict[str, Score]) -> list[Panel]:
    panels: list[Panel] = [
        lambda axes: _bars(axes, "size", {name: one.sizes for name, one in scores.items()}),
        lambda axes: _bars(
            axes, "other objects in the region", {n: one.competitors for n, one in scores.items()}
        ),
        lambda axes: _calibration(axes, scores),
    ]
    if any(one.baselines for one in scores.values()):
        panels.append(lambda axes: _beside(axes, scores))
    return panels


def _spread(axes: Axes, report: Report) -> None:
    """Of each source the IoUs in order: the share of objects that stay below each."""
    for name in report.sources:
        ious = np.sort([case.iou for case in report.cases if case.photo.source == name])
        axes.plot(ious, (np.arange(ious.size) + 0.5) / ious.size, label=name)
    axes.set(xlabel="IoU", ylabel="share of objects below it", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()


def _bars(axes: Axes, what: str, parts: dict[str, dict[str, Part]]) -> None:
    """A group a kind, a bar a source, how many objects it stands for on top."""
    width = 0.8 / len(parts)
    kinds = list(next(iter(parts.values())))
    for number, (source, each) in enumerate(parts.items()):
        places = np.arange(len(kinds)) + width * (number - (len(parts) - 1) / 2)
        bars = axes.bar(places, [part.miou or 0.0 for part in each.values()], width, label=source)
        axes.bar_label(bars, [f"n {part.n}" for part in each.values()], fontsize=7)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(xlabel=what, ylabel="mIoU", ylim=(0, 1.15))  # room for the legend
    axes.legend()


def _calibration(axes: Axes, scores: dict[str, Score]) -> None:
    """Masks by their score; the dotted line is a network that knows."""
    axes.plot([0, 1], [0, 1], ":", color="grey")
    for name, one in scores.items():
        bins = [each for each in one.score.bins if each.n]
        r = one.score.correlation
        said = name if r is None else f"{name}, r {r:.2f}"
        axes.plot(
            [each.score or 0.0 for each in bins],
            [each.iou or 0.0 for each in bins],
            "o-",
            label=said,
        )
    axes.set(xlabel="score", ylabel="mean IoU", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()


def _beside(axes: Axes, scores: dict[str, Score]) -> None:
    """The network and what needs none."""
    parts = {
        source: {
            name: Part(marks.miou, marks.n)
            for name, marks in {"network": one.marks, **one.baselines}.items()
        }
        for source, one in scores.items()
    }
    _bars(axes, "", parts)
    axes.tick_params(axis="x", labelrotation=20)


def _passes(axes: Axes, scores: dict[str, ServoScore]) -> None:
    """IoU over runs of the network; the lines across are what there was to gain."""
    for number, (name, one) in enumerate(scores.items()):
        colour = f"C{number}"
        runs, ious = list(one.passes), list(one.passes.values())
        axes.plot(runs, ious, "o-", color=colour, label=f"{name}, n {one.n}")
        for style, ceiling in (
            ("--", one.oracle),
            ("-.", one.oracle_square),
            (":", one.best_scale),
        ):
            axes.axhline(ceiling, linestyle=style, color=colour, linewidth=1)
    axes.set(ylim=(0, 1), xticks=PASSES, ylabel="mIoU in the whole picture")
    axes.set_xlabel("runs of the network\n(dashed: true box, dash-dot: square, dotted: best scale)")
    axes.grid(alpha=0.3)
    axes.legend()
