"""`glasses train`: progress on the terminal around the training loop, and the model at its end."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from glasses_sdk.training.export import export_onnx
from glasses_sdk.training.recipe import load_recipe
from glasses_sdk.training.train import Standing, train

__all__ = ["run"]


def run(recipe_file: Path, folder: Path, data: Path) -> None:
    """Train by the recipe, or go on with it, and write `folder`/fp32.onnx."""
    recipe = load_recipe(recipe_file)
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    ) as bar:
        reading = bar.add_task("pictures", total=None, note="")
        steps = bar.add_task("steps", total=recipe.schedule.steps, note="")

        def read(done: int, total: int) -> None:
            bar.update(reading, completed=done, total=total)

        def step(now: Standing) -> None:
            note = f"loss {now.loss:.3f}  {now.regions_per_second:.0f} regions/s"
            bar.update(steps, completed=now.step, note=note)

        network = train(recipe, data, folder, step, read)
    model = folder / "fp32.onnx"
    export_onnx(network, model)
    console.print(f"wrote {model}")
