"""A model → its optimizer, and a step → its learning rate, a pure function."""

import math

import torch
from torch import nn


def learning_rate(
    step: int, *, peak: float, warmup_steps: int, decay_steps: int, min_ratio: float
) -> float:
    """The rate of step 0, 1, …: linear warmup, cosine to `min_ratio` of the peak, then constant."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, decay_steps - warmup_steps))
    return peak * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizer(
    model: nn.Module, *, weight_decay: float, learning_rate: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) that decays matrices, not biases and gains."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    plain = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), eps=1e-9)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use one rate in all groups from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
