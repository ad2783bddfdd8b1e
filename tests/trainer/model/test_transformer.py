"""Tiny random models -> what the transformer promises about masks, losses and its cache."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.model.transformer import ModelConfig, Seq2SeqTransformer


def tiny_model(**changes: Any) -> Seq2SeqTransformer:
    settings: dict[str, Any] = {
        "vocab_size": 20,
        "d_model": 32,
        "num_heads": 4,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "d_ff": 64,
        "max_positions": 16,
    }
    torch.manual_seed(0)
    return Seq2SeqTransformer(ModelConfig(**settings | changes)).eval()


def batch_of(rows: int = 3) -> tuple[Tensor, Tensor]:
    """Return sources [rows, 6] and targets [rows, 7], of differing lengths."""
    random = torch.Generator().manual_seed(1)
    sources = torch.randint(4, 20, (rows, 6), generator=random)
    targets = torch.randint(4, 20, (rows, 7), generator=random)
    targets[:, 0] = 2
    for row in range(rows):
        sources[row, 6 - row :] = 0
        targets[row, 6 - row] = 3
        targets[row, 7 - row :] = 0
    return sources, targets


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {name: grad for name, grad in found.items() if grad is not None}


def test_default_model_has_about_eight_million_parameters() -> None:
    model = Seq2SeqTransformer(ModelConfig(vocab_size=3000))
    assert 7_500_000 <= sum(weight.numel() for weight in model.parameters()) <= 8_600_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", 0),
        ("d_model", 0),
        ("d_model", 36),
        ("num_heads", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("encoder_layers", 0),
        ("max_positions", 0),
        ("pad_id", 3),
        ("eos_id", 20),
        ("bos_id", -1),
    ],
)
def test_config_that_cannot_work_is_refused_by_name_and_value(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}.* (is|are) .*{value}.*: .*; (give|make)"):
        tiny_model(**{name: value})


def test_outputs_have_the_promised_shapes_and_dtypes() -> None:
    outputs = tiny_model()(*batch_of())
    assert outputs.logits.shape == (3, 6, 20)
    assert outputs.loss.shape == outputs.loss_sum.shape == outputs.num_tokens.shape == ()
    assert outputs.loss.dtype == outputs.loss_sum.dtype == torch.float32
    assert outputs.num_tokens.dtype == torch.int64
    assert outputs.num_tokens.item() == 6 + 5 + 4
    torch.testing.assert_close(outputs.loss * 15, outputs.loss_sum)


def test_untrained_logits_are_of_unit_scale() -> None:
    torch.manual_seed(0)
    model = Seq2SeqTransformer(ModelConfig(vocab_size=3000)).eval()
    outputs = model(torch.randint(4, 3000, (4, 10)), torch.randint(4, 3000, (4, 10)))
    assert 0.8 < outputs.logits.std().item() < 1.25


@pytest.mark.parametrize("position", range(1, 7))
def test_no_logit_sees_its_own_or_a_later_target(position: int) -> None:
    model = tiny_model()
    sources, targets = batch_of(1)
    changed = targets.clone()
    changed[:, position:] = 4 + (changed[:, position:] + 3) % 16
    before, after = model(sources, targets).logits, model(sources, changed).logits
    torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=0)
    if position < 6:
        assert (after[:, position] != before[:, position]).any()


@pytest.mark.parametrize("position", range(6))
def test_no_gradient_flows_from_a_logit_to_later_inputs(position: int) -> None:
    model = tiny_model()
    sources, targets = batch_of(1)
    embedded: list[Tensor] = []
    model.embedding.register_forward_hook(lambda _m, _i, output: embedded.append(output))
    model.embedding.weight.requires_grad_(True)
    logits = model(sources, targets).logits
    (reach,) = torch.autograd.grad(logits[:, position].square().sum(), embedded[1])
    assert reach[:, : position + 1].any(dim=-1).all()
    assert not reach[:, position + 1 :].any()


def test_more_padding_columns_change_nothing_real() -> None:
    model = tiny_model()
    sources, targets = batch_of()
    wide_sources = nn.functional.pad(sources, (0, 5))
    wide_targets = nn.functional.pad(targets, (0, 4))
    narrow, wide = model(sources, targets), model(wide_sources, wide_targets)
    real = targets[:, 1:] != 0
    torch.testing.assert_close(wide.logits[:, :6][real], narrow.logits[real])
    torch.testing.assert_close(wide.loss_sum, narrow.loss_sum)
    assert wide.num_tokens == narrow.num_tokens


def test_rows_do_not_see_each_other() -> None:
    model = tiny_model()
    sources, targets = batch_of()
    together = model(sources, targets).logits
    for row in range(3):
        alone = model(sources[row : row + 1], targets[row : row + 1]).logits
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [0, 2])
def test_batch_without_a_real_token_has_zero_loss_and_finite_gradients(
    rows: int, dtype: torch.dtype | None, checkpointing: bool
) -> None:
    model = tiny_model(checkpointing=checkpointing).train()
    empty = torch.zeros(rows, 5, dtype=torch.int64)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        outputs = model(empty, empty, label_smoothing=0.1)
    outputs.loss_sum.backward()
    assert outputs.loss.item() == outputs.loss_sum.item() == outputs.num_tokens.item() == 0
    assert outputs.logits.isfinite().all()
    found = gradients(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert not any(grad.any() for grad in found.values())


def test_every_row_of_the_mask_has_somewhere_to_look() -> None:
    _, mask = tiny_model().encode(torch.tensor([[5, 6, 0], [0, 0, 0]]))
    assert mask.tolist() == [[[[True, True, False]]], [[[True, True, True]]]]


def test_all_padding_source_beside_real_ones_leaves_everything_finite() -> None:
    model = tiny_model().train()
    sources, targets = batch_of()
    sources[1] = 0
    outputs = model(sources, targets)
    outputs.loss.backward()
    assert outputs.loss.isfinite()
    assert all(grad.isfinite().all() for grad in gradients(model).values())


@pytest.mark.parametrize("width", [0, 1])
def test_targets_too_short_to_predict_anything_cost_nothing(width: int) -> None:
    sources, targets = batch_of()
    outputs = tiny_model()(sources, targets[:, :width])
    assert outputs.logits.shape == (3, 0, 20)
    assert outputs.loss.item() == 0.0


def test_checkpointing_changes_neither_loss_nor_gradients_under_dropout() -> None:
    losses, grads = [], []
    for checkpointing in (False, True):
        model = tiny_model(dropout=0.3, checkpointing=checkpointing).train()
        torch.manual_seed(7)
        outputs = model(*batch_of(), label_smoothing=0.1)
        outputs.loss.backward()
        losses.append(outputs.loss.detach())
        grads.append(gradients(model))
    assert torch.equal(*losses)
    assert grads[0].keys() == grads[1].keys()
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


def test_checkpointing_really_recomputes_each_layer() -> None:
    model = tiny_model(checkpointing=True).train()
    calls: list[int] = []
    model.decoder[0].register_forward_pre_hook(lambda _m, _i: calls.append(1))
    model(*batch_of()).loss.backward()
    assert len(calls) == 2


def test_dropout_acts_only_while_training() -> None:
    model = tiny_model(dropout=0.5)
    batch = batch_of()
    assert torch.equal(model(*batch).logits, model(*batch).logits)
    model.train()
    assert not torch.equal(model(*batch).logits, model(*batch).logits)


def test_embedding_is_one_tensor_stored_once() -> None:
    model = tiny_model()
    state = model.state_dict()
    places = [weight.data_ptr() for weight in state.values()]
    assert len(set(places)) == len(places)
    assert [name for name, weight in state.items() if len(weight) == 20] == ["embedding.weight"]
    assert state.keys() == dict(model.named_parameters()).keys()
    other = tiny_model()
    other.load_state_dict(state)
    assert torch.equal(other(*batch_of()).logits, model(*batch_of()).logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_autocast_gives_fp32_loss_near_the_full_precision_one(
    dtype: torch.dtype, checkpointing: bool
) -> None:
    model = tiny_model(dropout=0.0, checkpointing=checkpointing).train()
    exact = model(*batch_of()).loss
    with torch.autocast("cpu", dtype=dtype):
        outputs = model(*batch_of())
    outputs.loss.backward()
    assert outputs.logits.dtype == dtype
    assert outputs.loss.dtype == torch.float32
    torch.testing.assert_close(outputs.loss, exact, rtol=0.02, atol=0.02)
    assert all(grad.isfinite().all() for grad in gradients(model).values())


@pytest.mark.parametrize(("sources", "targets"), [(17, 5), (5, 17)])
def test_sequence_longer_than_max_positions_is_refused(sources: int, targets: int) -> None:
    model = tiny_model()
    ids = torch.full((1, 17), 5)
    with pytest.raises(ValueError, match=r"17 ids exceeds max_positions 16: .*; shorten"):
        model(ids[:, :sources], ids[:, :targets])
    model(ids[:, :16], ids[:, :16])


def test_steps_through_the_cache_equal_one_full_pass() -> None:
    model = tiny_model()
    sources, targets = batch_of()
    full = model(sources, targets).logits
    cache = model.start_cache(sources)
    for position in range(6):
        logits = model.step(targets[:, position], cache)
        torch.testing.assert_close(logits, full[:, position])
        assert torch.equal(logits.argmax(-1), full[:, position].argmax(-1))
    assert cache.length == 6


@pytest.mark.parametrize("rows", [[2, 0, 1], [1], [0, 0, 2, 2], []])
def test_selected_cache_rows_go_on_as_those_rows(rows: list[int]) -> None:
    model = tiny_model()
    sources, targets = batch_of()
    cache = model.start_cache(sources)
    model.step(targets[:, 0], cache)
    chosen = torch.tensor(rows, dtype=torch.int64)
    cache.select(chosen)
    logits = model.step(targets[chosen, 1], cache)
    torch.testing.assert_close(logits, model(sources, targets).logits[chosen, 1])
