"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fix` is what to do about it, where there is something to do."""

    about: str
    state: Literal["fine", "note", "broken"]
    says: str
    fix: str | None = None
