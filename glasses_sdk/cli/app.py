"""What the commands share: the application, their flags, settings and progress."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from glasses_sdk.config import Config

__all__ = [
    "AsJson",
    "Bind",
    "ConfigFile",
    "Frames",
    "GazeName",
    "ModelName",
    "PaceName",
    "SensorName",
    "app",
    "calibrate_app",
    "config_app",
    "config_of",
    "interruptible",
    "models_app",
    "progress",
    "say",
    "settings_file",
]

app = typer.Typer(
    help="A look goes in, the object's mask comes out, the picture stays in the sensor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="Released models.", no_args_is_help=True)
config_app = typer.Typer(help="Settings and where they come from.", no_args_is_help=True)
calibrate_app = typer.Typer(help="Measure what devices differ in.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(calibrate_app, name="calibrate")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file; glasses.toml here, if there is one.")
]
SensorName = Annotated[
    str | None,
    typer.Option(
        help="auto, imx500[:FILE.rpk], picamera2:0, webcam:0, video:FILE, images:DIR, "
        "synthetic:SEED."
    ),
]
GazeName = Annotated[
    str | None,
    typer.Option(
        help="auto, centre, none, replay:FILE, inlet[:NAME], pointer, head[:NAME], "
        "pupil[:HOST[:PORT]], lsl[:NAME], neon[:HOST[:PORT]] or tobii[:HOST[:PORT]]."
    ),
]
ModelName = Annotated[str | None, typer.Option(help="A released model's name or an .onnx file.")]
Bind = Annotated[str | None, typer.Option(help="Address of the stream; control and input follow.")]
Frames = Annotated[int | None, typer.Option(help="Stop after so many; shorter input is looped.")]
PaceName = Annotated[str | None, typer.Option(help="realtime, or every: each frame of a file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")]


def interruptible() -> None:
    """From here on Ctrl-C and a polite kill are an exception: there is something to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def say(sentence: str) -> None:
    """To the person, on standard error: standard output is for data."""
    print(sentence, file=sys.stderr, flush=True)


def settings_file(path: Path | None) -> Path | None:
    """The file named, else glasses.toml of the folder, if there is one."""
    here = Path("glasses.toml")
    return path or (here if here.exists() else None)


def config_of(path: Path | None, flags: dict[str, dict[str, Any]]) -> Config:
    """File, environment and flags together."""
    from glasses_sdk.config import load_config

    return load_config(settings_file(path), os.environ, flags)


class progress:  # noqa: N801 - used as a function
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
