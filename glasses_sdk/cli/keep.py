"""`glasses config` and `train`: settings, and the making of a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from glasses_sdk.cli.app import (
    ConfigFile,
    app,
    config_app,
    interruptible,
    settings_file,
)
from glasses_sdk.errors import ConfigError

__all__ = ["config_show", "data_folder", "train"]


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
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out damaged objects and missing pictures.")
    ] = False,
) -> None:
    """Train a network; the same command continues an interrupted run."""
    try:
        from glasses_sdk.training import command
    except ImportError as error:
        raise ConfigError(
            f"training needs the extra: pip install 'glasses-sdk[train]' ({error.name})"
        ) from error

    interruptible()
    command.run(recipe, out or _run_of(recipe), data_folder(), skip_bad=skip_bad)


def _run_of(recipe: Path) -> Path:
    """runs/picosam3 of picosam3/recipe.toml, runs/eca of eca.toml."""
    name = recipe.resolve().parent.name if recipe.stem == "recipe" else recipe.stem
    return Path("runs") / name


def data_folder() -> Path:
    """What GLASSES_DATA names. Raises ConfigError where it is not set."""
    folder = os.environ.get("GLASSES_DATA")
    if not folder:
        raise ConfigError("GLASSES_DATA is not set: it names the folder with the annotation files")
    return Path(folder)
