"""The processes that train one network together: one here, or as many as torchrun starts."""

# pyright: reportUnknownMemberType=false, reportPrivateImportUsage=false
# (torch types only a part of itself)

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

__all__ = ["Rank", "this_rank"]

_CPU = torch.device("cpu")
_WORKERS = 12  # cut more regions than any one GPU has been seen to ask for


@dataclass(frozen=True, slots=True)
class Rank:
    """This process: which of how many, what it computes on, and by how many workers it is fed.

    Without workers the process cuts its regions itself, which is nothing beside a step on a CPU.
    """

    number: int = 0
    count: int = 1
    device: torch.device = _CPU
    workers: int = 0

    @property
    def leads(self) -> bool:
        """One of them writes the files and talks."""
        return self.number == 0


@contextmanager
def this_rank() -> Generator[Rank]:
    """As torchrun says in the environment; without it alone. On a GPU where there is one."""
    number, count, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else _CPU
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    spare = max((os.cpu_count() or 1) // here - 1, 1)
    rank = Rank(number, count, device, min(spare, _WORKERS) if gpu else 0)
    if count == 1:
        yield rank
        return
    if gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpu else "gloo")
    try:
        yield rank
    finally:
        distributed.destroy_process_group()
