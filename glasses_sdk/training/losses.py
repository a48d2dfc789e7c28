"""What a mask is judged by while training."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["mask_loss"]


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice, both [N, H, W]; a scalar.

    Dice counts where there is an object: on an empty target it would say nothing but "smaller",
    which cross-entropy says already.
    """
    entropy = binary_cross_entropy_with_logits(logits, target)
    probability = logits.sigmoid()
    shared = (probability * target).sum((1, 2))
    total = probability.sum((1, 2)) + target.sum((1, 2))
    there = (target.sum((1, 2)) > 0).float()
    dice = 1 - (2 * shared + 1) / (total + 1)
    return entropy + (dice * there).sum() / there.sum().clamp(min=1)
