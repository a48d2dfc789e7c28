"""A recipe: everything that makes a released model, in one TOML file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glasses_sdk.errors import ConfigError
from glasses_sdk.training.networks import Architecture, Attention, coarseness
from glasses_sdk.training.regions import RegionMix

__all__ = ["DataRecipe", "Recipe", "Schedule", "load_recipe"]

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]


class DataRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Annotation files under GLASSES_DATA, and each source's share of the samples.

    Of the samples, which share is made harder (`training.augment`):

    paste    the object is laid over another sample's picture
    clutter  another sample's object is laid beside or over it
    turn     turned by up to ten degrees
    degrade  seen by a worse sensor: coarse, moved, or in little light

    collage  objects of other samples are laid over its picture, one of them is meant
             (`training.collage`), and the region is one that the start's masks led to
    squeeze  of the objects in collages, which share is made slender

    teacher  a folder under GLASSES_DATA with what another network said (`training.teacher`)
    """

    files: Annotated[list[str], Meta(min_length=1)]
    weights: dict[str, Annotated[float, Meta(gt=0)]]
    regions: RegionMix = RegionMix()
    paste: Share = 0.0
    clutter: Share = 0.0
    turn: Share = 0.0
    degrade: Share = 0.0
    collage: Share = 0.0
    squeeze: Share = 0.0
    teacher: str | None = None


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how fast.

    `sides` is the side of the training pictures from a share of the run onwards, the last one that
    of the finished model: starting small costs less than half and loses nothing that the rest of
    the run does not regain. `batch` counts the regions of a step, of all processes together.
    """

    samples: Count
    batch: Count = 32
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-3
    weight_decay: float = 0.01
    warm_up: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    ema: Share = 0.999
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: Annotated[int, Meta(ge=0)] = 0
    sides: Annotated[tuple[tuple[Share, Count], ...], Meta(min_length=1)] = ((0.0, 96),)
    checkpoint_every: Count = 200

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"{self.samples} samples are less than one batch of {self.batch}")
        if self.sides[0][0] != 0:
            raise ValueError(f"sides begin at 0.0 of the run, not at {self.sides[0][0]}")

    @property
    def steps(self) -> int:
        return self.samples // self.batch

    def side(self, step: int) -> int:
        """Side of the pictures of this step, in cells."""
        return [side for start, side in self.sides if step >= start * self.steps][-1]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole recipe file.

    attention  `published`, as PicoSAM3's code has it, or `eca`, as the textbook
    loss       `dice`: cross-entropy and Dice; `overlap`: nearer to the IoU of the mask
    start      the folder of a run whose weights this one begins with, beside this run's own; what
               that run does not have begins fresh
    keep       runs beside this one, and how much of the weights of each the finished network keeps;
               the rest is what was learnt. Between two runs it is often better than either
               (WiSE-FT, Wortsman et al., CVPR 2022), and so it may be between more (model soups,
               Wortsman et al., ICML 2022)
    remember   a run beside this one, and how much its masks of photographs count, the annotations
               the rest: what collages teach is not to replace what it knew of photographs (learning
               without forgetting, Li & Hoiem, ECCV 2016)
    """

    network: Architecture
    data: DataRecipe
    schedule: Schedule
    attention: Attention = "published"
    loss: Literal["dice", "overlap"] = "dice"
    start: str | None = None
    keep: dict[str, Annotated[float, Meta(gt=0, le=1)]] = {}
    remember: dict[str, Annotated[float, Meta(gt=0, lt=1)]] = {}

    def __post_init__(self) -> None:
        cells = coarseness(self.network)
        if wrong := [side for _, side in self.schedule.sides if side % cells]:
            raise ValueError(f"{self.network} takes sides that are multiples of {cells}: {wrong}")
        if self.network == "picosam2" and self.attention != "published":
            raise ValueError("picosam2 has no attention to choose")
        if round(sum(self.keep.values()), 9) > 1:
            raise ValueError(f"the shares of keep are more than 1 together: {self.keep}")
        if self.loss == "overlap" and self.data.teacher:
            raise ValueError("a teacher's lessons are learnt by the loss dice, not overlap")
        if len(self.remember) > 1 or (self.remember and self.data.teacher):
            raise ValueError("there is one to learn from: one run to remember, or one teacher")
        if self.remember and self.loss == "overlap":
            raise ValueError("what a run remembers is learnt by the loss dice, not overlap")
        if self.is_led and self.start is None:
            raise ValueError("collage and led need a start, whose masks lead to their regions")

    @property
    def is_led(self) -> bool:
        """Whether some of its regions are those that a network's masks lead to."""
        return bool(self.data.collage or self.data.regions.led)

    @property
    def side(self) -> int:
        """Side of the finished model's pictures."""
        return self.schedule.sides[-1][1]


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises ConfigError that names the file and the key."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise ConfigError(f"cannot read recipe {path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"recipe {path}: {error}") from error
