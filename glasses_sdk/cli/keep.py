"""`glasses models`, `config` and `train`: what is here, and making more of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasses_sdk.cli.app import (
    ConfigFile,
    app,
    config_app,
    interruptible,
    models_app,
    settings_file,
)
from glasses_sdk.errors import ConfigError, GlassesError

if TYPE_CHECKING:
    pass

__all__ = ["config_show", "models_list", "models_verify", "train"]


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

    for setting in settings(settings_file(config), os.environ):
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

    interruptible()
    command.run(recipe, out or Path("runs") / recipe.parent.name, _data_folder())


def _data_folder() -> Path:
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        raise ConfigError("GLASSES_DATA is not set: it names the folder with the annotation files")
    return Path(folder)
