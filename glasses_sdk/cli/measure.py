"""`glasses evaluate`, `simulate`, `bench` and `doctor`: how good, how fast, how well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

__all__ = ["bench", "doctor", "evaluate", "simulate"]


@app.command()
def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO-format file; pictures lie beside it.")],
    model: Annotated[str, typer.Option(help="A released model's name or an .onnx file.")] = (
        "picosam3"
    ),
    protocol: Annotated[str, typer.Option(help="box (published, square) or tight.")] = "box",
    as_json: AsJson = False,
) -> None:
    """Measure a model by the published protocol, per source of the pictures."""
    import rich

    from glasses_sdk import evaluation, models
    from glasses_sdk.network import Network

    interruptible()
    if protocol not in ("box", "tight"):
        raise ConfigError(f"no protocol {protocol!r}; known: box, tight")
    kind: Literal["box", "tight"] = "box" if protocol == "box" else "tight"
    network = Network(models.find(model))
    with progress("instances") as step:
        report = evaluation.evaluate(network, annotations, kind, progress=step)
    if as_json:
        print(json.dumps(report.to_json()))
        return
    rich.print(f"{report.model}, {protocol} protocol")
    for name, source in report.sources.items():
        rich.print(f"  {name:10} mIoU {source.miou:.3f}  mAP {source.map:.3f}  n {source.n}")


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="Which made world.")] = 0,
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
    flags = {
        "sensor": {
            "source": f"synthetic:{seed}",
            "model": model,
            "frames": frames,
            "pace": "every",
            "isolate": sensor == "isolated",
        }
    }
    with Pipeline(config_of(None, flags)) as glasses, progress("frames") as step:
        masks = list(_counted(glasses, frames, step))
    network = Network(models.find(model))
    report = simulation.score(open_world(str(seed)), masks, frames, network)
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
