"""`glasses evaluate`, `track`, `simulate`, `bench` and `doctor`: how good, how fast, how well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from glasses_sdk.cli.app import (
    AsJson,
    Bind,
    app,
    config_of,
    interruptible,
    progress,
    say,
)
from glasses_sdk.errors import ConfigError

if TYPE_CHECKING:
    from glasses_sdk.types import Mask

__all__ = ["bench", "doctor", "evaluate", "simulate", "track"]


@app.command()
def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO-format file; pictures lie beside it.")],
    model: Annotated[str, typer.Option(help="A released model's name or an .onnx file.")] = (
        "picosam3"
    ),
    protocol: Annotated[
        str,
        typer.Option(help="box (published, square), tight, point (a click) or servo (a look)."),
    ] = "box",
    clicks: Annotated[str | None, typer.Option(help="point, servo: centre or random:SEED.")] = None,
    padding: Annotated[
        float, typer.Option(metavar="PERCENT", help="box, tight: shown around the box, each side.")
    ] = 10.0,
    box_error: Annotated[
        float, typer.Option(metavar="PERCENT", help="box, tight: how imprecise the box is.")
    ] = 0.0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="box, tight, point: also what needs no network.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave figures, plots and cases there.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is damaged or missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on annotated pictures, per source of the pictures."""
    from glasses_sdk import evaluation, models
    from glasses_sdk.evaluation import folder
    from glasses_sdk.evaluation.lines import lines
    from glasses_sdk.network import Network

    interruptible()
    settings = evaluation.Settings(
        protocol=cast("evaluation.Protocol", protocol),
        padding=padding / 100,
        box_error=box_error / 100,
        clicks=evaluation.Clicks.parse(clicks) if clicks is not None else None,
        baselines=baselines,
        skip_bad=skip_bad,
    )
    if report:
        folder.prepare(report)
    network = Network(models.find(model))
    with progress("objects") as step:
        found = evaluation.evaluate(
            network, annotations, settings, step, keep_cases=report is not None
        )
    if report:
        folder.save(found, report)
    for line in [json.dumps(found.to_json())] if as_json else lines(found):
        print(line)


@app.command()
def track(
    data: Annotated[Path, typer.Option(help="Videos with true masks, as tracking.json.")],
    look: Annotated[
        str, typer.Option(help="point (once), real:FILE (a gaze recording) or noisy:PX.")
    ] = "point",
    model: Annotated[str, typer.Option(help="A released model's name or an .onnx file.")] = (
        "picosam3"
    ),
    contrib: Annotated[
        Path | None,
        typer.Option(
            envvar="GLASSES_CONTRIB_PYTHON",
            metavar="PYTHON",
            help="One that has opencv-contrib-python: also its CSRT and KCF.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave a plot a video and a sheet there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Follow the object of real videos, and compare with perfect regions and other trackers."""
    from glasses_sdk import models, tracking
    from glasses_sdk.evaluation import folder
    from glasses_sdk.network import Network

    interruptible()
    if plot:
        folder.prepare(plot)
    eyes, videos = tracking.open_eyes(look), tracking.load_videos(data)
    network = Network(models.find(model))
    with progress("frames") as step:
        judgement = tracking.judge(network, videos, eyes, contrib, step)
    report = judgement.report()
    for line in [json.dumps(report.to_json())] if as_json else report.lines():
        print(line)
    if plot:
        from glasses_sdk.tracking import drawing

        drawing.save(judgement, plot)


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="Which made world.")] = 0,
    world: Annotated[str | None, typer.Option(help="The file of one, instead.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="How many frames.")] = 900,
    sensor: Annotated[str, typer.Option(help="host or isolated.")] = "isolated",
    model: Annotated[str, typer.Option(help="A released model's name or an .onnx file.")] = (
        "picosam3"
    ),
    as_json: AsJson = False,
) -> None:
    """Run the loop in a made world whose truth is known, and score its masks."""

    from glasses_sdk import models, simulation
    from glasses_sdk.network import Network
    from glasses_sdk.pipeline import Pipeline
    from glasses_sdk.sensors.synthetic import open_world

    interruptible()
    if sensor not in ("host", "isolated"):
        raise ConfigError(f"no sensor {sensor!r} to simulate with; known: host, isolated")
    name = str(seed) if world is None else world
    truth = open_world(name)
    flags = {
        "sensor": {
            "source": f"synthetic:{name}",
            "model": model,
            "frames": frames,
            "pace": "every",
            "isolate": sensor == "isolated",
        }
    }
    with Pipeline(config_of(None, flags)) as glasses, progress("frames") as step:
        masks = list(_counted(glasses, frames, step))
    network = Network(models.find(model))
    report = simulation.score(truth, masks, frames, network)
    if as_json:
        print(json.dumps(asdict(report)))
        return
    for name, value in asdict(report).items():
        print(f"{name:18} {value}")


def _counted(masks: Iterable[Mask], total: int, step: Callable[[int, int], None]) -> Iterator[Mask]:
    for done, mask in enumerate(masks, 1):
        step(done, total)
        yield mask


@app.command()
def bench(
    sensor: Annotated[str, typer.Option(help="host, isolated or ready: whose ratio.")] = "host",
    model: Annotated[str, typer.Option(help="A released model's name or an .onnx file.")] = (
        "picosam3"
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Frames for each contender.")] = 300,
    masks: Annotated[int, typer.Option(min=1, help="How many to watch the memory over.")] = 20_000,
    check: Annotated[bool, typer.Option("--check", help="Fail where a limit is passed.")] = False,
    limit: Annotated[list[str] | None, typer.Option(help="Another limit, NAME=VALUE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure each stage, and all of it beside a bare script of the same libraries."""
    from glasses_sdk import models
    from glasses_sdk.bench import command

    interruptible()
    limits = command.limits_of(limit or []) if check else None
    missed = command.run(models.find(model), sensor, rounds, masks, limits, as_json)
    for line in missed:
        say(line)
    if missed:
        raise typer.Exit(1)


@app.command()
def doctor(
    bind: Bind = None,
    as_json: AsJson = False,
) -> None:
    """Look at this machine: what is broken, and one line on how to mend it."""

    from glasses_sdk.doctor import examine

    findings = list(examine(bind))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    for finding in [] if as_json else findings:
        fix = f"\n{'':24} fix: {finding.fix}" if finding.fix else ""
        print(f"{finding.state:7} {finding.about:16} {finding.says}{fix}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
