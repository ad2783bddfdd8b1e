"""The learning rate is a pure function of the step, checked against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from trainer.training.optim import learning_rate, make_optimizer, set_learning_rate


def rate(step: int, warmup_steps: int = 10) -> float:
    return learning_rate(step, peak=1.0, warmup_steps=warmup_steps, decay_steps=110, min_ratio=0.1)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1),
        (4, 0.5),
        (9, 1.0),
        (10, 1.0),
        (35, 0.1 + 0.9 * (0.5 + 0.25 * 2**0.5)),  # cos(pi/4)
        (60, 0.55),  # half-way
        (110, 0.1),
        (10_000, 0.1),
    ],
)
def test_the_rate_warms_up_decays_as_a_cosine_and_stays(step: int, expected: float) -> None:
    assert rate(step) == pytest.approx(expected)


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert rate(0, warmup_steps=0) == 1.0


def test_a_warmup_as_long_as_the_run_does_not_divide_by_zero() -> None:
    assert rate(110, warmup_steps=110) == pytest.approx(1.0)
    assert rate(111, warmup_steps=110) == pytest.approx(0.1)


def test_matrices_decay_and_gains_do_not() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    optimizer = make_optimizer(model, weight_decay=0.5, learning_rate=0.1)
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(decays) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.5 if parameter.dim() > 1 else 0.0)


def test_one_rate_is_set_in_all_groups() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), weight_decay=0.1, learning_rate=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert isinstance(optimizer, torch.optim.AdamW)
