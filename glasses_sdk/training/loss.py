"""What a network lost on its way to 8 bits, in mIoU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glasses_sdk.evaluation import Score, Settings, evaluate
from glasses_sdk.network import Network

__all__ = ["Loss", "losses", "worst"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Loss:
    """mIoU of `n` objects of one source before and after, by one protocol; fractions of 1."""

    protocol: str
    source: str
    before: float
    after: float
    n: int

    def __str__(self) -> str:
        return (
            f"{self.protocol:6} {self.source:10} n {self.n:5}  mIoU {100 * self.before:.2f} to "
            f"{100 * self.after:.2f}"
        )


def losses(
    before: Path,
    after: Path,
    annotations: Path,
    progress: Progress = lambda done, total: None,
) -> list[Loss]:
    """Two models on one annotation file, by the protocols `box` and `tight`."""
    found: list[Loss] = []
    for settings in (Settings("box"), Settings("tight")):
        one, other = (
            evaluate(Network(path), annotations, settings, progress).sources
            for path in (before, after)
        )
        for source, score in one.items():
            changed = other[source]
            assert isinstance(score, Score)
            assert isinstance(changed, Score)
            miou = score.marks.miou, changed.marks.miou
            found.append(Loss(settings.protocol, source, *miou, score.marks.n))
    return found


def worst(found: list[Loss]) -> float:
    """The larger of the protocols' losses, each over all of its objects."""
    return max(_mean([one for one in found if one.protocol == kind]) for kind in ("box", "tight"))


def _mean(found: list[Loss]) -> float:
    return sum((one.before - one.after) * one.n for one in found) / sum(one.n for one in found)
