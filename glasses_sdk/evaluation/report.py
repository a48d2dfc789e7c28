"""A network measured on an annotation file, by one protocol, per source of its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glasses_sdk.errors import ConfigError
from glasses_sdk.evaluation.baselines import ELLIPSE, baselines
from glasses_sdk.evaluation.judging import Predict, case, judge, of_network, views
from glasses_sdk.evaluation.scenes import Case, Progress, Scenes
from glasses_sdk.evaluation.scores import Row, Score
from glasses_sdk.evaluation.servo import LEAST, ServoRow, ServoScore, follow_all
from glasses_sdk.evaluation.settings import Settings
from glasses_sdk.network import Network
from glasses_sdk.types import Size

__all__ = ["Report", "below_ellipse", "evaluate", "measure"]

_NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Report:
    """A score for each source of the pictures.

    skipped  a sentence on each object and picture that was left out as bad
    cases    each object and its mask, where they were to be kept (of an imprecise box: the first)
    """

    model: str
    settings: Settings
    sources: Mapping[str, Score | ServoScore]
    skipped: list[str]
    cases: list[Case]

    def to_json(self) -> dict[str, Any]:
        """As docs/reference/evaluation.md has it."""
        settings = self.settings
        fields: dict[str, Any] = {"model": self.model, "protocol": settings.protocol}
        if settings.has_boxes:
            fields |= {"padding": settings.padding, "box_error": settings.box_error}
        else:
            fields |= {"clicks": str(settings.clicking)}
        sources = {name: _score_json(score) for name, score in self.sources.items()}
        return fields | {"skipped": self.skipped, "sources": sources}


def _score_json(score: Score | ServoScore) -> dict[str, Any]:
    if isinstance(score, ServoScore):
        return score.to_json()
    fields = asdict(score)
    marks = fields.pop("marks")
    if not score.baselines:
        del fields["baselines"]
    if len(score.seeds) == 1:
        del fields["seeds"]
    return marks | fields


def below_ellipse(score: Score) -> bool:
    """Whether the network is worse than an ellipse in the object's own box."""
    return ELLIPSE in score.baselines and score.marks.miou < score.baselines[ELLIPSE].miou


def evaluate(
    network: Network,
    annotations: Path,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    *,
    keep_cases: bool = False,
) -> Report:
    """Measure a network on an annotation file, whose pictures are found relative to it.

    `progress(done, total)` counts objects. A case that is kept holds a mask of the network's size.
    Raises DataError for a file, an object or a picture that is missing or damaged, ConfigError
    without the extra `eval`.
    """
    servo = settings.protocol == "servo"
    scenes = Scenes(annotations, settings.skip_bad, LEAST if servo else 0)
    cases: list[Case] = []
    keep = cases.append if keep_cases else _forget
    sources = (
        _servo(network, scenes, settings, progress, keep)
        if servo
        else _in_regions(of_network(network), network.input, scenes, settings, progress, keep)
    )
    return Report(network.name, settings, dict(sorted(sources.items())), scenes.bad, cases)


def measure(
    predict: Predict,
    cells: Size,
    annotations: Path,
    settings: Settings,
    progress: Progress = lambda done, total: None,
) -> dict[str, Score]:
    """The same for whatever can name an object's cells in a `View`, by source; not for `servo`.

    `predict` is asked for masks of `cells`, of all objects of one picture before those of the next.
    """
    if settings.protocol == "servo":
        raise ConfigError("protocol servo drives a network: use evaluate")
    scenes = Scenes(annotations, settings.skip_bad)
    return _in_regions(predict, cells, scenes, settings, progress, _forget)


def _forget(case: Case) -> None:
    """Keep nothing."""


def _in_regions(
    predict: Predict,
    cells: Size,
    scenes: Scenes,
    settings: Settings,
    progress: Progress,
    keep: Callable[[Case], None],
) -> dict[str, Score]:
    others = baselines(settings) if settings.baselines else {}
    contenders = {_NETWORK: predict, **others}
    rows: dict[str, dict[str, list[Row]]] = {}
    for scene in scenes.each(progress):
        of_source = rows.setdefault(scene.photo.source, {name: [] for name in contenders})
        for view in views(scene, settings, cells):
            for name, contender in contenders.items():
                row, found = judge(view, contender)
                of_source[name].append(row)
                if name == _NETWORK and view.seed == 0:
                    keep(case(view, found, row.iou))
    return {source: Score.of(each.pop(_NETWORK), each) for source, each in rows.items()}


def _servo(
    network: Network,
    scenes: Scenes,
    settings: Settings,
    progress: Progress,
    keep: Callable[[Case], None],
) -> dict[str, ServoScore]:
    rows: dict[str, list[ServoRow]] = {}
    for scene in scenes.each(progress):
        click = settings.clicking.on(scene.mask, scene.instance.id)
        row, mask = follow_all(network, scene, click)
        rows.setdefault(scene.photo.source, []).append(row)
        keep(Case(scene.instance, scene.photo, mask, row.passes[max(row.passes)], click))
    return {source: ServoScore.of(each) for source, each in rows.items()}
