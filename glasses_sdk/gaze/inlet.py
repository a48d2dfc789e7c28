"""Gaze that other programs push in, over `g1.in.gaze.<name>`: apps, games, the pointer.

Plane       0 to 1 of the sensor's width and height, origin top left
Clock       the publisher's monotonic clock; what is far from it counts from its arrival
Confidence  as the program says
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Self

from glasses_sdk.gaze.guard import MAX_AGE_MS, Guard, Named
from glasses_sdk.types import Gaze

__all__ = ["Inlet"]


class Inlet:
    """A `GazeSource` that hands on what was pushed; `name` None takes everybody's.

    Pushed points may rest, and none may come for long: a pointer that stands still says nothing.
    """

    def __init__(
        self,
        name: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        max_age_ms: float = MAX_AGE_MS,
    ) -> None:
        self._named = Named(name, clock)
        self._guard = Guard(clock, max_age_ms, eyes=False)
        self._waiting: list[Gaze] = []

    def push(self, name: str, gaze: Gaze) -> None:
        """A sample arrived."""
        if self._named.takes(name):
            self._waiting.append(gaze)

    def read(self) -> Sequence[Gaze]:
        fresh, self._waiting = self._waiting, []
        return self._guard.admit_all(fresh)

    @property
    def reason(self) -> str | None:
        return self._guard.reason or self._named.reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
