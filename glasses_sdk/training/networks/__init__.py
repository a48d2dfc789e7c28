"""The network architectures, one readable file each."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from torch import nn

from glasses_sdk.errors import ConfigError

__all__ = ["build"]


def build(name: str) -> nn.Module:
    """A fresh network of this architecture. Raises ConfigError for an unknown name."""
    match name:
        case "picosam3":
            from glasses_sdk.training.networks.picosam3 import PicoSam3

            return PicoSam3()
        case _:
            raise ConfigError(f"no network {name!r}; known: picosam3")
