"""For glasses without an eye tracker: the wearer looks at the middle of what the camera sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from glasses_sdk.types import Gaze

__all__ = ["Centre"]


class Centre:
    """A `GazeSource` that always looks at (0.5, 0.5), one sample a call."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    def read(self) -> Sequence[Gaze]:
        return [Gaze(self._clock(), 0.5, 0.5)]

    @property
    def reason(self) -> None:
        """Nothing can be wrong with it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
