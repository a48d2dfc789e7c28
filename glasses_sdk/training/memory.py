"""What an earlier run says of the photographs in a batch: so that it is not forgotten."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from glasses_sdk.errors import ConfigError
from glasses_sdk.training.checkpoint import begin
from glasses_sdk.training.data import Batch, Lesson

__all__ = ["Memory"]


class Memory:
    """The network of another run, which answers for what it is shown now.

    network  of the same architecture, on the batches' device; takes the weights of `checkpoint`
    trust    how much its masks count, 0 to 1; the annotations the rest

    Raises ConfigError where there is no such run.
    """

    def __init__(self, network: nn.Module, checkpoint: Path, trust: float) -> None:
        if not checkpoint.exists():
            raise ConfigError(f"the recipe remembers {checkpoint}, which is not there; train that")
        begin(network, checkpoint)
        self._network = network.eval().requires_grad_(False)
        self._trust = trust

    def teach(self, batch: Batch) -> Batch:
        """The batch with its lesson. Of collages it says nothing: they show what it did not know.

        To be asked after augmentation: it answers for the pictures as they are then.
        """
        with torch.no_grad():
            logits = self._network(batch.rgb).float()
        score = torch.full((len(batch.instances),), self._trust, device=logits.device)
        if batch.made is not None:
            score = score.masked_fill(batch.made.to(logits.device), 0.0)
        return replace(batch, lesson=Lesson(logits, score))
