"""Hand-made logits -> the sums token_cross_entropy promises."""

import math

import pytest
import torch

from trainer.model.loss import token_cross_entropy


def test_uniform_logits_cost_log_vocab_per_real_token() -> None:
    labels = torch.tensor([[1, 2, 0], [3, 0, 0]])
    loss_sum, num_tokens = token_cross_entropy(torch.zeros(2, 3, 5), labels, pad_id=0)
    assert num_tokens.item() == 3
    assert num_tokens.dtype == torch.int64
    assert loss_sum.item() == pytest.approx(3 * math.log(5))


def test_smoothing_spreads_its_share_evenly_over_the_vocabulary() -> None:
    logits = torch.tensor([[[0.0, 1.0, 2.0]]])
    log_probs = logits[0, 0].log_softmax(-1)
    expected = -(0.9 * log_probs[2] + 0.1 * log_probs.mean())
    loss_sum, _ = token_cross_entropy(logits, torch.tensor([[2]]), 0, label_smoothing=0.1)
    torch.testing.assert_close(loss_sum, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (2, 4)])
def test_no_real_label_gives_zero_loss_and_zero_gradient(
    shape: tuple[int, int], smoothing: float
) -> None:
    logits = torch.randn(*shape, 5, requires_grad=True)
    labels = torch.zeros(shape, dtype=torch.int64)
    loss_sum, num_tokens = token_cross_entropy(logits, labels, 0, smoothing)
    torch.autograd.backward(loss_sum)
    assert loss_sum.item() == 0.0
    assert num_tokens.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sum_is_fp32_and_outlives_the_range_of_half_precision(dtype: torch.dtype) -> None:
    logits = torch.zeros(40, 1000, 8, dtype=dtype)
    loss_sum, _ = token_cross_entropy(logits, torch.ones(40, 1000, dtype=torch.int64), pad_id=0)
    assert loss_sum.dtype == torch.float32
    assert loss_sum.item() == pytest.approx(40_000 * math.log(8), rel=1e-4)


def test_logits_of_padding_positions_get_no_gradient() -> None:
    logits = torch.randn(1, 3, 5, requires_grad=True)
    loss_sum, _ = token_cross_entropy(logits, torch.tensor([[4, 0, 0]]), pad_id=0)
    torch.autograd.backward(loss_sum)
    assert logits.grad is not None
    assert logits.grad[0, 0].any()
    assert not logits.grad[0, 1:].any()
