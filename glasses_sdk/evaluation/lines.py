"""A report as lines for a person to read."""

from __future__ import annotations

from collections.abc import Iterator

from glasses_sdk.evaluation.report import Report, below_ellipse
from glasses_sdk.evaluation.scores import Marks, Part, Score
from glasses_sdk.evaluation.servo import ServoScore

__all__ = ["lines"]


def lines(report: Report) -> Iterator[str]:
    yield f"{report.model}, protocol {report.settings.protocol}"
    for source, score in report.sources.items():
        yield from (
            _of_servo(source, score)
            if isinstance(score, ServoScore)
            else _of_regions(source, score)
        )
    if report.skipped:
        yield f"left out as bad: {len(report.skipped)}, the first: {report.skipped[0]}"


def _of_regions(source: str, score: Score) -> Iterator[str]:
    yield f"  {source:15} {_marks(score.marks)}"
    yield f"    {'by size':13} {_parts(score.sizes)}"
    yield f"    {'by others':13} {_parts(score.competitors)}"
    r = score.score.correlation
    yield f"    {'score':13} " + ("never changes" if r is None else f"r {r:.2f} with the IoU")
    if len(score.seeds) > 1:
        yield f"    {'by seed':13} " + "  ".join(f"{miou:.3f}" for miou in score.seeds)
    for name, marks in score.baselines.items():
        yield f"    {name:13} {_marks(marks)}"
    if below_ellipse(score):
        yield "    below box_ellipse: whoever knows the box gets more without a network"


def _of_servo(source: str, score: ServoScore) -> Iterator[str]:
    passes = "  ".join(f"{runs}: {iou:.3f}" for runs, iou in score.passes.items())
    yield f"  {source:15} mIoU after runs {passes}  n {score.n}"
    yield (
        f"    {'to gain':13} oracle {score.oracle:.3f}  oracle_square {score.oracle_square:.3f}  "
        f"best_scale {score.best_scale:.3f}"
    )


def _marks(marks: Marks) -> str:
    return (
        f"mIoU {marks.miou:.3f}  mAP {marks.map:.3f}  boundary F {marks.boundary_f:.3f}  "
        f"n {marks.n}  {marks.ms:.2f} ms"
    )


def _parts(parts: dict[str, Part]) -> str:
    return "  ".join(
        f"{name} {'-' if part.miou is None else f'{part.miou:.3f}'} (n {part.n})"
        for name, part in parts.items()
    )
