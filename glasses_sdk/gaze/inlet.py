"""Gaze that other programs push in, over `g1.in.gaze.<name>`: apps, games, the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from glasses_sdk.types import Gaze

__all__ = ["Inlet"]


class Inlet:
    """A `GazeSource` that hands on what was pushed; `name` None takes everybody's."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._waiting: list[Gaze] = []

    def push(self, name: str, gaze: Gaze) -> None:
        """A sample arrived, x and y in 0 to 1 of the sensor's width and height."""
        if self._name is None or name == self._name:
            self._waiting.append(gaze)

    def read(self) -> Sequence[Gaze]:
        fresh, self._waiting = self._waiting, []
        return fresh

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
