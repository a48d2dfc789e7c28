"""A run's state on disk: whole or the one before, refused where it belongs to something else."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from glasses_sdk.errors import ConfigError, ModelError
from glasses_sdk.training.recipe import Recipe

__all__ = ["State", "begin", "blend", "resume", "save"]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a run changes: the network, its running average (the one that is released), and AdamW's
    memory."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, network: nn.Module, decay: float) -> State:
        """Nothing learnt yet. Weights decay; biases and norms do not."""
        weights = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return cls(network, deepcopy(network).requires_grad_(False), torch.optim.AdamW(groups))

    @torch.no_grad()
    def follow(self, keep: float) -> None:
        """average = keep * average + (1 - keep) * network; norm statistics too."""
        old = [t for t in self.average.state_dict().values() if t.is_floating_point()]
        new = [t for t in self.network.state_dict().values() if t.is_floating_point()]
        torch._foreach_lerp_(old, new, 1 - keep)  # pyright: ignore


def save(path: Path, recipe: Recipe, step: int, state: State) -> None:
    """Write beside, then rename. Raises ModelError where that fails, as on a disk that is full."""
    part = path.with_suffix(".part")
    saved = {
        "recipe": msgspec.json.encode(recipe).decode(),
        "step": step,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    try:
        torch.save(saved, part)
        part.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: PyTorch's writer, of a full disk
        part.unlink(missing_ok=True)
        raise ModelError(
            f"cannot write checkpoint {path}, the one before it is kept: {error}"
        ) from error


def resume(path: Path, recipe: Recipe, state: State) -> int:
    """Put what was saved into `state`, and say which step comes next; 0 where nothing was.

    Raises ConfigError for a checkpoint of another recipe or architecture, ModelError for one that
    is damaged.
    """
    if not path.exists():
        return 0
    saved = _read(path)
    if not _same(saved["recipe"], recipe):
        raise ConfigError(f"{path} belongs to another recipe; choose another folder or delete it")
    try:
        state.average.load_state_dict(_weights(saved["average"]))
        if saved["step"] < recipe.schedule.steps:
            state.network.load_state_dict(_weights(saved["network"]))
            state.optimizer.load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{path} holds another architecture than {recipe.network}; choose another folder or "
            f"delete it ({str(error).splitlines()[-1].strip()})"
        ) from error
    return saved["step"]


def begin(network: nn.Module, path: Path) -> None:
    """Start from the averaged weights of another run, as far as the architectures share them.

    Raises ConfigError where there is no such run or nothing is shared.
    """
    if not path.exists():
        raise ConfigError(f"the recipe starts from {path}, which is not there; train that first")
    there, own = _weights(_read(path)["average"]), network.state_dict()
    taken = {
        name: there[name] for name in own if name in there and there[name].shape == own[name].shape
    }
    if not any(name.endswith("weight") for name in taken):
        raise ConfigError(f"the recipe starts from {path}, which has no layer in common with it")
    network.load_state_dict(own | taken)


def blend(network: nn.Module, kept: Mapping[Path, float]) -> None:
    """Put these shares of other runs' averaged weights into `network`, which keeps the rest.

    Raises ConfigError where one of them has another architecture.
    """
    own = network.state_dict()
    shapes = {name: tensor.shape for name, tensor in own.items()}
    floats = {name: tensor for name, tensor in own.items() if tensor.is_floating_point()}
    blended = {name: (1 - sum(kept.values())) * tensor for name, tensor in floats.items()}
    for path, share in kept.items():
        there = _weights(_read(path)["average"])
        if {name: tensor.shape for name, tensor in there.items()} != shapes:
            raise ConfigError(f"what is kept has the same architecture, which {path} has not")
        for name, tensor in blended.items():
            tensor += share * there[name].to(tensor.device)
    network.load_state_dict(own | blended)


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"recipe", "step", "network", "average", "optimizer"} - saved.keys()
    except (AttributeError, EOFError, OSError, RuntimeError, UnpicklingError) as error:
        raise ModelError(f"checkpoint {path} is damaged; delete it to begin anew") from error
    if missing:
        raise ModelError(f"{path} is no checkpoint of a run: {', '.join(sorted(missing))} missing")
    return saved


def _weights(saved: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the second output that earlier runs trained beside the mask, and its wrapper."""
    return {
        name.removeprefix("network."): tensor
        for name, tensor in saved.items()
        if not name.startswith("fit.")
    }


def _same(saved: str, recipe: Recipe) -> bool:
    """Whether it is this recipe; `fit` asked for the second output of earlier runs."""
    was = json.loads(saved)
    was.pop("fit", None)
    try:
        return msgspec.convert(was, Recipe) == recipe
    except msgspec.ValidationError:
        return False
