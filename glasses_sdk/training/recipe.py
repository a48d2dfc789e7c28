"""A recipe: everything that makes a released model, in one TOML file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from glasses_sdk.errors import ConfigError
from glasses_sdk.training.regions import RegionMix

__all__ = ["DataRecipe", "Recipe", "Schedule", "load_recipe"]


class DataRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Annotation files under GLASSES_DATA, and each source's share of the samples."""

    files: list[str]
    weights: dict[str, float]
    regions: RegionMix = RegionMix()


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how fast.

    `sides` is the side of the training pictures from a share of the run onwards: starting small
    costs less than half and loses nothing that the rest of the run does not regain.
    """

    samples: int
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    ema: float = 0.999
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 0
    sides: tuple[tuple[float, int], ...] = ((0.0, 96),)
    checkpoint_every: int = 200

    @property
    def steps(self) -> int:
        return self.samples // self.batch

    def side(self, step: int) -> int:
        """Side of the pictures of this step, in cells."""
        return [side for start, side in self.sides if step >= start * self.steps][-1]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole recipe file."""

    network: Literal["picosam3"]
    data: DataRecipe
    schedule: Schedule


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises ConfigError that names the file and the key."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise ConfigError(f"cannot read recipe {path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"recipe {path}: {error}") from error
