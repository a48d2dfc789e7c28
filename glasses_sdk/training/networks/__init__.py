"""The network architectures, one readable file each."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from typing import Literal

from torch import nn

from glasses_sdk.errors import ConfigError
from glasses_sdk.training.networks.blocks import Attention

__all__ = ["Architecture", "Attention", "build", "coarseness"]

Architecture = Literal["picosam2", "picosam3", "picosam3-fine"]


def build(name: str, attention: Attention = "published") -> nn.Module:
    """A fresh network of this architecture, with this channel attention where it has one.

    Raises ConfigError for an unknown name.
    """
    match name:
        case "picosam2":
            from glasses_sdk.training.networks.picosam2 import PicoSam2

            return PicoSam2()
        case "picosam3":
            from glasses_sdk.training.networks.picosam3 import PicoSam3

            return PicoSam3(attention)
        case "picosam3-fine":
            from glasses_sdk.training.networks.picosam3_fine import PicoSam3Fine

            return PicoSam3Fine(attention)
        case _:
            raise ConfigError(f"no network {name!r}; known: picosam2, picosam3, picosam3-fine")


def coarseness(name: Architecture) -> int:
    """Cells of the input that are one of the bottleneck's: the input's side is a multiple of it."""
    return 32 if name == "picosam3-fine" else 16
