"""The command line: `glasses run`, `sub`, `evaluate`, `bench`, `doctor`, `models` and more."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from glasses_sdk.errors import ConfigError, GlassesError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glasses_sdk.config import Config
    from glasses_sdk.pipeline import Pipeline
    from glasses_sdk.types import Mask
    from glasses_sdk.wire import StreamedMask

__all__ = ["main"]

app = typer.Typer(
    help="A look goes in, the object's mask comes out, the picture stays in the sensor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Released models.", no_args_is_help=True)
config_app = typer.Typer(help="Settings and where they come from.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file; glasses.toml here, if there is one.")
]
SensorName = Annotated[
    str | None,
    typer.Option(help="auto, webcam:0, video:FILE, images:DIR or synthetic:SEED."),
]
GazeName = Annotated[
    str | None, typer.Option(help="auto, centre, replay:FILE, inlet[:NAME] or pointer.")
]
ModelName = Annotated[str | None, typer.Option(help="A released model's name or an .onnx file.")]
Bind = Annotated[str | None, typer.Option(help="Address of the stream; control and input follow.")]
Frames = Annotated[int | None, typer.Option(help="Stop after so many; shorter input is looped.")]
PaceName = Annotated[str | None, typer.Option(help="realtime, or every: each frame of a file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def main() -> None:
    """The entry point: an error of ours is one sentence on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except typer.Exit as done:
        code = done.exit_code
    except GlassesError as error:
        _say(f"glasses: {error}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `glasses sub | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = _usage(error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception) -> int:
    """A wrong flag, as click says it; anything else is a defect of ours and keeps its trace."""
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return int(getattr(error, "exit_code", 2))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _settings_file(path: Path | None) -> Path | None:
    here = Path("glasses.toml")
    return path or (here if here.exists() else None)


def _config(path: Path | None, flags: dict[str, dict[str, Any]]) -> Config:
    from glasses_sdk.config import load_config

    return load_config(_settings_file(path), os.environ, flags)


@app.command()
def run(
    sensor: SensorName = None,
    gaze: GazeName = None,
    gaze_map: Annotated[str | None, typer.Option(help="A gaze map's TOML file.")] = None,
    model: ModelName = None,
    bind: Bind = None,
    frames: Frames = None,
    pace: PaceName = None,
    view: Annotated[bool, typer.Option("--view", help="Serve the viewer page as well.")] = False,
    config: ConfigFile = None,
) -> None:
    """Look, segment, publish masks, until Ctrl-C."""
    from glasses_sdk.pipeline import Pipeline

    flags = {
        "sensor": {"source": sensor, "model": model, "frames": frames, "pace": pace},
        "gaze": {"source": gaze, "map": gaze_map},
        "stream": {"bind": bind},
    }
    chosen = _config(config, flags)
    try:
        with Pipeline(chosen, publish=True) as glasses, _viewer(glasses, view):
            _announce(chosen, glasses)
            count = _show(glasses)
            _say(f"the recording has ended after {count} masks")
    except KeyboardInterrupt:
        _say("stopped")


@contextmanager
def _viewer(glasses: Pipeline, wanted: bool) -> Generator[None]:
    """The page beside the stream; a client of it like any other."""
    addresses = glasses.addresses
    if not wanted or addresses is None:
        yield
        return
    from glasses_sdk.viewer.bridge import Bridge

    with Bridge(addresses.stream, addresses.control, addresses.input) as bridge:
        _say(f"see them at {bridge.url}")
        yield


def _announce(config: Config, glasses: Pipeline) -> None:
    info, source = glasses.info, config.sensor.source
    found = f"{info.kind} (found by auto)" if source == "auto" else source
    _say(f"sensor {found}, {info.size}; model {info.model}; gaze {glasses.gaze_source}")
    if glasses.addresses:
        stream = glasses.addresses.stream
        _say(f"masks on {stream}; see them with: glasses sub {stream}")
    _say("Ctrl-C stops")


def _show(masks: Iterable[Mask]) -> int:
    """On a terminal, the newest mask as it is published; elsewhere only the work. Their count."""
    if not sys.stderr.isatty():
        return sum(1 for _ in masks)
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=10, transient=True) as live:
        count = 0
        for count, mask in enumerate(masks, 1):  # noqa: B007 - counted for the caller
            live.update(_sketch(mask))
    return count


def _sketch(mask: Mask) -> str:
    """The whole sensor's plane as text, two rows of points a line."""
    from glasses_sdk.types import Size

    rows = max(2 * round(30 * mask.sensor.height / mask.sensor.width), 2)
    points = mask.full(Size(60, rows))
    pairs = zip(points[0::2], points[1::2], strict=True)
    lines = ["".join(" ▀▄█"[a + 2 * b] for a, b in zip(*pair, strict=True)) for pair in pairs]
    state = f"track {mask.track}  {mask.roi_state}  score {mask.score:.2f}  frame {mask.seq}"
    return "\n".join([*lines, state])


@app.command()
def sub(
    address: Annotated[str, typer.Argument(help="The stream.")] = "tcp://127.0.0.1:5570",
    as_json: AsJson = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many masks.")] = None,
) -> None:
    """Subscribe to a stream: rate, age, drops, state of the region."""
    from glasses_sdk.transport import MaskSubscriber

    try:
        with MaskSubscriber(address, every=as_json) as subscriber:
            for number, mask in enumerate(subscriber, 1):
                age = subscriber.age_ms(mask)
                print(_json_line(mask, age) if as_json else _line(mask, age, subscriber.dropped))
                sys.stdout.flush()
                if count is not None and number >= count:
                    return
    except KeyboardInterrupt:
        return


def _json_line(mask: StreamedMask, age_ms: float) -> str:
    """The payload as the wire has it, `data` in base64, and the mask's age."""
    from glasses_sdk.wire import mask_fields

    return json.dumps({**mask_fields(mask), "age_ms": round(age_ms, 3)})


def _line(mask: StreamedMask, age_ms: float, dropped: int) -> str:
    roi = mask.roi
    return (
        f"{mask.device}  frame {mask.seq}  age {age_ms:6.1f} ms  dropped {dropped}  "
        f"track {mask.track} {mask.roi_state:8}  score {mask.score:.2f}  area {mask.area:5d}  "
        f"region {roi.left:.0f},{roi.top:.0f} {roi.width:.0f}x{roi.height:.0f}"
    )


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

    if protocol not in ("box", "tight"):
        raise ConfigError(f"no protocol {protocol!r}; known: box, tight")
    kind: Literal["box", "tight"] = "box" if protocol == "box" else "tight"
    network = Network(models.find(model))
    with _progress("instances") as step:
        report = evaluation.evaluate(network, annotations, kind, progress=step)
    if as_json:
        print(json.dumps(report.to_json()))
        return
    rich.print(f"{report.model}, {protocol} protocol")
    for name, source in report.sources.items():
        rich.print(f"  {name:10} mIoU {source.miou:.3f}  mAP {source.map:.3f}  n {source.n}")


class _progress:  # noqa: N801 - used as a function
    """A progress bar on standard error that counts what it is told."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

        self._bar = Progress(
            SpinnerColumn(),
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._bar.start()
        return self._step

    def _step(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


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
    from dataclasses import asdict

    from glasses_sdk import models, simulation
    from glasses_sdk.network import Network
    from glasses_sdk.pipeline import Pipeline
    from glasses_sdk.sensors.synthetic import open_world

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
    with Pipeline(_config(None, flags)) as glasses, _progress("frames") as step:
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

    limits = command.limits_of(limit or []) if check else None
    missed = command.run(models.find(model), sensor, rounds, masks, limits, as_json)
    for line in missed:
        _say(line)
    if missed:
        raise typer.Exit(1)


@app.command()
def doctor(
    bind: Bind = None,
    as_json: AsJson = False,
) -> None:
    """Look at this machine: what is broken, and one line on how to mend it."""
    from dataclasses import asdict

    from glasses_sdk.doctor import examine

    findings = list(examine(bind))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    for finding in [] if as_json else findings:
        fix = f"\n{'':24} fix: {finding.fix}" if finding.fix else ""
        print(f"{finding.state:7} {finding.about:16} {finding.says}{fix}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@models_app.command("list")
def models_list() -> None:
    """The released models that are here."""
    from glasses_sdk import models

    for name, path in models.released().items():
        print(f"{name:12} {path}{'  (default)' if name == models.DEFAULT else ''}")


@models_app.command("verify")
def models_verify() -> None:
    """Each released file against its checksum."""
    from glasses_sdk import models

    faults = 0
    for checked in models.verify():
        print(f"{checked.file:32} {checked.fault or 'as released'}")
        faults += checked.fault is not None
    if faults:
        raise GlassesError(f"{faults} released files are not as released; reinstall the SDK")


@config_app.command("show")
def config_show(config: ConfigFile = None) -> None:
    """Every setting, and where its value comes from."""
    from glasses_sdk.config import settings

    for setting in settings(_settings_file(config), os.environ):
        name = f"{setting.section}.{setting.key}"
        print(f"{name:24} {setting.value!r:32} {setting.origin}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, as models/picosam3/recipe.toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME.")] = None,
) -> None:
    """Train a network; the same command continues an interrupted run."""
    try:
        from glasses_sdk.training import command
    except ImportError as error:
        raise ConfigError(
            f"training needs the extra: pip install 'glasses-sdk[train]' ({error.name})"
        ) from error

    command.run(recipe, out or Path("runs") / recipe.parent.name, _data_folder())


def _data_folder() -> Path:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        raise ConfigError("GLASSES_DATA is not set: it names the folder with the annotation files")
    return Path(folder)
