"""Nobody's gaze is known: the tracker looks for something itself (`salient.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from glasses_sdk.types import Gaze

__all__ = ["Nobody"]


class Nobody:
    """A `GazeSource` without samples."""

    def read(self) -> Sequence[Gaze]:
        return ()

    @property
    def reason(self) -> None:
        """Nothing is wrong with that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
