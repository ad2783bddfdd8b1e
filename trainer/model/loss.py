"""Logits and labels -> summed token cross entropy and the number of tokens it was summed over.

Shapes: B batch, T target positions, V vocabulary.
"""

from torch import Tensor
from torch.nn import functional


def token_cross_entropy(
    logits: Tensor, labels: Tensor, pad_id: int, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return the fp32 cross entropy summed over the labels that are not padding, and their count.

    The sum, not the mean, is what adds up over ranks and micro-batches of unequal length.

    Args:
        logits: [B, T, V], any floating dtype.
        labels: [B, T], int64.
        pad_id: label that counts for nothing.
        label_smoothing: probability mass spread evenly over V, in [0, 1]
            (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
        loss_sum, fp32 scalar; num_tokens, int64 scalar.
    """
    loss_sum = functional.cross_entropy(
        logits.flatten(0, 1).float(),
        labels.flatten(),
        ignore_index=pad_id,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return loss_sum, (labels != pad_id).sum()
