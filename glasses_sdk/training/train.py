"""The training loop: one file, read top to bottom; resumes from its own checkpoint."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from glasses_sdk.errors import ConfigError
from glasses_sdk.training.augment import augment
from glasses_sdk.training.checkpoint import State, begin, blend, resume, save
from glasses_sdk.training.data import Batch, Regions
from glasses_sdk.training.journal import Journal, Standing
from glasses_sdk.training.losses import iou, lesson_loss, mask_loss, overlap_loss
from glasses_sdk.training.memory import Memory
from glasses_sdk.training.networks import build
from glasses_sdk.training.ranks import Rank
from glasses_sdk.training.recipe import Recipe

__all__ = ["Standing", "train"]

_ALONE = Rank()


def train(
    recipe: Recipe,
    data: Path,
    folder: Path,
    report: Callable[[Standing], None] = lambda progress: None,
    reading: Callable[[int, int], None] = lambda done, total: None,
    left_out: Callable[[list[str]], None] = lambda bad: None,
    *,
    rank: Rank = _ALONE,
    skip_bad: bool = False,
) -> nn.Module:
    """Train `recipe` on the annotation files under `data`; returns the averaged network.

    `folder` receives checkpoint.pt and metrics.csv; a checkpoint of the same recipe that lies
    there is continued. Interrupting loses at most `checkpoint_every` steps. `skip_bad` leaves out
    what `Regions` would refuse, and `left_out` is told what that was. Raises ModelError when the
    loss is not a number, with the instances of the batch, and when the folder cannot be written.
    """
    plan = recipe.schedule
    if plan.batch % rank.count:
        raise ConfigError(f"a batch of {plan.batch} cannot be shared by {rank.count} processes")
    state = _begun(recipe, folder, rank)
    checkpoint = folder / "checkpoint.pt"
    first = resume(checkpoint, recipe, state)
    if first >= plan.steps:
        return _finished(state, recipe, folder)

    leader = _leader(recipe, folder)
    memory = _memory(recipe, folder, rank)
    regions = Regions(data, recipe.data, reading, leader=leader, skip_bad=skip_bad)
    left_out(regions.bad)
    network = DistributedDataParallel(state.network) if rank.count > 1 else state.network
    faster = torch.autocast(rank.device.type, torch.bfloat16, enabled=plan.precision == "bf16")
    journal = Journal(folder / "metrics.csv", first, plan, rank, report)
    steps = range(first, plan.steps)
    for step, batch in zip(steps, regions.batches(steps, plan, rank), strict=True):
        rate = plan.learning_rate * _one_cycle(step / plan.steps, plan.warm_up)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        batch = augment(batch.on(rank.device), recipe.data, _generator(plan.seed, step, rank))
        with faster:
            batch = memory.teach(batch) if memory else batch
            logits = network(batch.rgb)
        loss = _loss(logits.float(), batch, recipe.loss)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.follow(min(plan.ema, (1 + step) / (10 + step)))

        journal.note(step, batch.instances, loss, iou(logits, batch.target))
        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == plan.steps:
            journal.close(step, rate)
            if rank.leads:
                save(checkpoint, recipe, step + 1, state)
    return _finished(state, recipe, folder)


def _finished(state: State, recipe: Recipe, folder: Path) -> nn.Module:
    if kept := _kept(recipe, folder):
        blend(state.average, kept)
    return state.average.eval()


def _kept(recipe: Recipe, folder: Path) -> dict[Path, float]:
    """The checkpoints of which the finished network keeps a share, and how much."""
    kept = {folder.parent / run / "checkpoint.pt": share for run, share in recipe.keep.items()}
    for path in kept:
        if not path.exists():
            raise ConfigError(f"the recipe keeps a share of {path}, which is not there; train that")
    return kept


def _begun(recipe: Recipe, folder: Path, rank: Rank) -> State:
    """Before the first step."""
    _kept(recipe, folder)  # what is missing is said now, not after the last step
    torch.manual_seed(recipe.schedule.seed)
    network = build(recipe.network, recipe.attention)
    if recipe.start:
        begin(network, folder.parent / recipe.start / "checkpoint.pt")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the run's folder {folder}: {error.strerror}") from error
    network = network.to(rank.device, memory_format=torch.channels_last).train()  # pyright: ignore
    return State.of(network, recipe.schedule.weight_decay)


def _memory(recipe: Recipe, folder: Path, rank: Rank) -> Memory | None:
    for run, trust in recipe.remember.items():
        network = build(recipe.network, recipe.attention)
        network = network.to(rank.device, memory_format=torch.channels_last)  # pyright: ignore
        return Memory(network, folder.parent / run / "checkpoint.pt", trust)
    return None


def _leader(recipe: Recipe, folder: Path) -> Path | None:
    """The network whose masks lead to regions, where the recipe asks for such."""
    if recipe.start is None or not recipe.is_led:
        return None
    path = folder.parent / recipe.start / "fp32.onnx"
    if not path.exists():
        raise ConfigError(
            f"the recipe's regions are led by {path}, which is not there; train that run to its end"
        )
    return path


def _generator(seed: int, step: int, rank: Rank) -> torch.Generator:
    """Of this step's augmentation, another one for each rank."""
    number = (seed * 1_000_003 + step) * rank.count + rank.number
    return torch.Generator(rank.device).manual_seed(number)


def _loss(logits: Tensor, batch: Batch, kind: str) -> Tensor:
    if kind == "overlap":
        return overlap_loss(logits, batch.target)
    if batch.lesson is None:
        return mask_loss(logits, batch.target)
    return lesson_loss(logits, batch.target, batch.lesson.logits, batch.lesson.score)


def _one_cycle(share: float, warm_up: float) -> float:
    """Linear rise, then half a cosine down to nothing."""
    if share < warm_up:
        return share / warm_up
    return 0.5 * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up)))
