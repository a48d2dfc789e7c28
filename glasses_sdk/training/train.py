"""The training loop: one file, read top to bottom; resumes from its own checkpoint."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from glasses_sdk.errors import ConfigError, ModelError
from glasses_sdk.training.augment import augment
from glasses_sdk.training.data import Regions
from glasses_sdk.training.losses import mask_loss
from glasses_sdk.training.networks import build
from glasses_sdk.training.recipe import Recipe

__all__ = ["Standing", "train"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands after `step` of `steps`."""

    step: int
    steps: int
    loss: float
    regions_per_second: float


def train(
    recipe: Recipe,
    data: Path,
    folder: Path,
    report: Callable[[Standing], None] = lambda progress: None,
    reading: Callable[[int, int], None] = lambda done, total: None,
) -> nn.Module:
    """Train `recipe` on the annotation files under `data`; returns the averaged network.

    `folder` receives checkpoint.pt and metrics.csv; a checkpoint of the same recipe that lies
    there is continued. Interrupting loses at most `checkpoint_every` steps. Raises ModelError
    when the loss is not a number, with the instances of the batch.
    """
    plan = recipe.schedule
    torch.manual_seed(plan.seed)
    network = build(recipe.network).to(memory_format=torch.channels_last).train()  # pyright: ignore
    average = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(network, plan.weight_decay), lr=plan.learning_rate)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    first = _resume(checkpoint, recipe, network, average, optimizer)
    if first >= plan.steps:
        return average.eval()

    files = [data / name for name in recipe.data.files]
    regions = Regions(files, recipe.data.weights, recipe.data.regions, reading)
    faster = torch.autocast("cpu", torch.bfloat16) if plan.precision == "bf16" else nullcontext()
    losses: list[float] = []
    started = time.perf_counter()
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _one_cycle(step / plan.steps, plan.warm_up)
        batch = regions.batch(step, plan.batch, plan.side(step), plan.seed)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        rgb, target = augment(batch.rgb, batch.target, generator)
        with faster:
            logits: Tensor = network(rgb)
        loss = mask_loss(logits.float(), target)
        if not math.isfinite(loss.item()):
            raise ModelError(f"loss is {loss.item()} at step {step}, instances {batch.instances}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _follow(average, network, min(plan.ema, (1 + step) / (10 + step)))
        losses.append(loss.item())

        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == plan.steps:
            _save(checkpoint, recipe, step + 1, network, average, optimizer)
            speed = (step + 1 - first) * plan.batch / (time.perf_counter() - started)
            mean = sum(losses[-plan.checkpoint_every :]) / len(losses[-plan.checkpoint_every :])
            _log(folder / "metrics.csv", step + 1, mean, speed)
        report(Standing(step + 1, plan.steps, losses[-1], _speed(step, first, plan.batch, started)))
    return average.eval()


def _speed(step: int, first: int, batch: int, started: float) -> float:
    return (step + 1 - first) * batch / (time.perf_counter() - started)


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and norms do not."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _one_cycle(share: float, warm_up: float) -> float:
    """Linear rise, then half a cosine down to nothing."""
    if share < warm_up:
        return share / warm_up
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """average = keep * average + (1 - keep) * network; norm statistics too."""
    old = [t for t in average.state_dict().values() if t.is_floating_point()]
    new = [t for t in network.state_dict().values() if t.is_floating_point()]
    torch._foreach_lerp_(old, new, 1 - keep)  # pyright: ignore


def _save(
    path: Path,
    recipe: Recipe,
    step: int,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write beside, then rename: a checkpoint is whole or it is the one before."""
    part = path.with_suffix(".part")
    state = {
        "recipe": msgspec.json.encode(recipe).decode(),
        "step": step,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    try:
        torch.save(state, part)  # pyright: ignore[reportUnknownMemberType]
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise ModelError(f"cannot write checkpoint {path}: {error}") from error
    part.replace(path)


def _resume(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """The step to go on from."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)  # pyright: ignore[reportUnknownMemberType]
    if state["recipe"] != msgspec.json.encode(recipe).decode():
        raise ConfigError(f"{path} belongs to another recipe; choose another folder or delete it")
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def _log(path: Path, step: int, loss: float, speed: float) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", "regions_per_second"])
        writer.writerow([step, f"{loss:.5f}", f"{speed:.1f}"])
