"""`glasses train`: progress on the terminal around the training loop, and the model at its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
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

from glasses_sdk.training.cost import cost
from glasses_sdk.training.curve import draw
from glasses_sdk.training.export import export_onnx
from glasses_sdk.training.networks import build
from glasses_sdk.training.ranks import Rank, this_rank
from glasses_sdk.training.recipe import load_recipe
from glasses_sdk.training.train import Standing, train

__all__ = ["run"]


def run(recipe_file: Path, folder: Path, data: Path, *, skip_bad: bool) -> None:
    """Train by the recipe, or go on with it, and write `folder`/fp32.onnx and metrics.png.

    Of the processes that torchrun starts, the first one writes and talks.
    """
    recipe = load_recipe(recipe_file)
    with this_rank() as rank:
        console = Console(stderr=True, quiet=not rank.leads)
        size = cost(build(recipe.network, recipe.attention), recipe.side)
        console.print(f"{recipe.network}: {size}; on {rank.count} x {rank.device.type}")

        def left_out(bad: list[str]) -> None:
            for sentence in bad:
                console.print(f"left out: {sentence}")

        with _progress(console, recipe.schedule.steps) as (step, read), _drawn(folder, rank):
            network = train(
                recipe, data, folder, step, read, left_out, rank=rank, skip_bad=skip_bad
            )
        if rank.leads:
            export_onnx(network.cpu(), folder / "fp32.onnx", recipe.side)
            console.print(f"wrote {folder / 'fp32.onnx'}")


@contextmanager
def _progress(
    console: Console, steps: int
) -> Generator[tuple[Callable[[Standing], None], Callable[[int, int], None]]]:
    """Two bars, and what moves them: at each step, and at each picture that is read."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    ) as bar:
        pictures = bar.add_task("pictures", total=None, note="")
        training = bar.add_task("steps", total=steps, note="")

        def step(now: Standing) -> None:
            note = f"loss {now.loss:.3f}  {now.regions_per_second:.0f} regions/s"
            bar.update(training, completed=now.step, note=note)

        def read(done: int, total: int) -> None:
            bar.update(pictures, completed=done, total=total)

        yield step, read


@contextmanager
def _drawn(folder: Path, rank: Rank) -> Generator[None]:
    """The metrics as a picture, also of a run that is interrupted or fails."""
    try:
        yield
    finally:
        if rank.leads and (folder / "metrics.csv").exists():
            with suppress(OSError):  # on a disk that is full the first error is the one to read
                draw(folder / "metrics.csv", folder / "metrics.png")
