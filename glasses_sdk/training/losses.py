"""What a network is judged by while training."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (torch types only a part of itself)

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["iou", "lesson_loss", "mask_loss", "overlap_loss"]

Maps = Float[Tensor, "n h w"]


def mask_loss(logits: Maps, target: Maps, weight: Float[Tensor, " n"] | None = None) -> Tensor:
    """Binary cross-entropy plus soft Dice; a scalar. `weight` says how much each sample counts.

    Dice counts where there is an object: on an empty target it would say nothing but "smaller",
    which cross-entropy says already.
    """
    each = logits.new_ones(len(logits)) if weight is None else weight
    entropy = binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2))
    there = (target.sum((1, 2)) > 0).float()
    dice = (_dice(logits, target) * there * each).sum() / there.sum().clamp(min=1)
    return (entropy * each).mean() + dice


def overlap_loss(logits: Maps, target: Maps) -> Tensor:
    """Cross-entropy, and more than it the soft IoU (Rahman & Wang, ISVC 2016); a scalar.

    The IoU is that of steeper probabilities, which are close to the mask that a threshold makes.
    By cross-entropy alone a cell joins the mask that is more likely than not; where an outline is
    unsure, the mask with the highest expected IoU takes in less likely ones (Nowozin, CVPR 2014).
    The IoU counts where there is an object, as Dice does.
    """
    steep = (_STEEP * logits).sigmoid()
    shared = (steep * target).sum((1, 2))
    union = steep.sum((1, 2)) + target.sum((1, 2)) - shared
    there = (target.sum((1, 2)) > 0).float()
    missed = ((1 - (shared + 1) / (union + 1)) * there).sum() / there.sum().clamp(min=1)
    return _ENTROPY * binary_cross_entropy_with_logits(logits, target) + _OVERLAP * missed


_STEEP = 2.0
_ENTROPY, _OVERLAP = 0.7, 1.5


def lesson_loss(logits: Maps, target: Maps, taught: Maps, score: Float[Tensor, " n"]) -> Tensor:
    """Distillation: of the teacher as much as it trusts itself, of the annotation the rest.

    The teacher's part is the squared error and the soft Dice of the probabilities, as PicoSAM3's
    paper has it; there the trust is a batch's mean score, here each sample's own, so that one of
    which the teacher said nothing (score 0) is learnt from its annotation alone.
    """
    wanted = taught.sigmoid()
    squared = (logits.sigmoid() - wanted).square().mean((1, 2))
    learnt = (score * (squared + _dice(logits, wanted))).mean()
    return learnt + mask_loss(logits, target, 1 - score)


def iou(logits: Maps, target: Maps) -> Tensor:
    """Mean IoU of the masks, of the samples that have an object; 0 where none has."""
    mask, wanted = logits > 0, target > 0
    shared = (mask & wanted).sum((1, 2)) / (mask | wanted).sum((1, 2)).clamp(min=1)
    return shared.sum() / wanted.any(2).any(1).sum().clamp(min=1)


def _dice(logits: Maps, target: Maps) -> Float[Tensor, " n"]:
    probability = logits.sigmoid()
    shared = (probability * target).sum((1, 2))
    total = probability.sum((1, 2)) + target.sum((1, 2))
    return 1 - (2 * shared + 1) / (total + 1)
