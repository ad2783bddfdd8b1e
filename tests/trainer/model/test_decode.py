"""Tiny models -> what greedy, sampled and beam decoding promise."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.model.decode import (
    DecodeSettings,
    decode,
    filtered_probabilities,
    normalized_scores,
)
from trainer.model.transformer import ModelConfig, Seq2SeqTransformer


def tiny_model(seed: int = 0) -> Seq2SeqTransformer:
    torch.manual_seed(seed)
    config = ModelConfig(
        vocab_size=14,
        d_model=32,
        num_heads=2,
        encoder_layers=1,
        decoder_layers=1,
        d_ff=64,
        dropout=0.0,
        max_positions=16,
    )
    return Seq2SeqTransformer(config).eval()


def wavering_model(seed: int) -> Seq2SeqTransformer:
    """Return a model so unsure that the likeliest next id often misses the best target."""
    model = tiny_model(seed)
    with torch.no_grad():
        model.decoder_norm.weight.mul_(0.6)
        for weight in model.decoder.parameters():
            weight.mul_(3.0)
    return model


def sources(rows: int = 4, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 14, (rows, 5), generator=random)
    lengths = torch.randint(1, 6, (rows, 1), generator=random)
    return ids.masked_fill(torch.arange(5) >= lengths, 0)


def log_probability(
    model: Seq2SeqTransformer, source: Tensor, target: list[int], limit: int
) -> float:
    """Return the log probability of one target under the model that may not say pad or bos."""
    ended = target + [3] * (len(target) < limit)
    with torch.no_grad():
        memory, mask = model.encode(source[None])
        logits = model.decode(torch.tensor([[2, *ended[:-1]]]), memory, mask)[0]
    logits[:, [0, 2]] = float("-inf")
    return float(logits.log_softmax(-1)[range(len(ended)), ended].sum())


@pytest.fixture(scope="module")
def reversing_model() -> Seq2SeqTransformer:
    """Return a model trained to give the source reversed."""
    model = tiny_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    source = sources(32, seed=100)
    for _ in range(150):
        loss = model(source, reversed_targets(source)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def reversed_targets(source: Tensor) -> Tensor:
    rows = [[2, *reversed([i for i in row if i]), 3] for row in source.tolist()]
    return torch.tensor([row + [0] * (7 - len(row)) for row in rows])


@pytest.mark.parametrize("settings", [{"strategy": "greedy"}, {"strategy": "beam"}])
def test_trained_model_reproduces_the_reversed_sources(
    reversing_model: Seq2SeqTransformer, settings: dict[str, Any]
) -> None:
    source = sources(32, seed=100)
    expected = [[i for i in row if i > 3] for row in reversed_targets(source).tolist()]
    decoded = decode(reversing_model, source, DecodeSettings(max_tokens=8, **settings))
    assert decoded == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "best"),
        ("max_tokens", 0),
        ("beam_size", 0),
        ("length_penalty", -0.1),
        ("temperature", 0.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
    ],
)
def test_settings_that_choose_nothing_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is .*{value}.*: .*; give"):
        DecodeSettings(**{name: value})


@pytest.mark.parametrize("forbidden", [[14], [-1], list(range(14))])
def test_forbidden_ids_that_cannot_be_obeyed_are_refused(forbidden: list[int]) -> None:
    with pytest.raises(ValueError, match=r"forbidden_ids has \d+ ids: .*; give"):
        decode(tiny_model(), sources(), DecodeSettings(max_tokens=4), forbidden_ids=forbidden)


def test_more_tokens_than_the_model_has_positions_are_refused() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=r"max_tokens is 17: .*; give at most 16"):
        decode(model, sources(), DecodeSettings(max_tokens=17))
    decode(model, sources(), DecodeSettings(max_tokens=16), forbidden_ids=[3])


@pytest.mark.parametrize("seed", range(3))
def test_greedy_takes_the_likeliest_id_of_a_full_pass_at_each_step(seed: int) -> None:
    model, source = tiny_model(seed), sources(seed=seed)
    for row, decoded in zip(
        source, decode(model, source, DecodeSettings(max_tokens=8)), strict=True
    ):
        target: list[int] = []
        while len(target) < 8:
            with torch.no_grad():
                memory, mask = model.encode(row[None])
                logits = model.decode(torch.tensor([[2, *target]]), memory, mask)[0, -1]
            logits[[0, 2]] = float("-inf")
            if logits.argmax() == 3:
                break
            target.append(int(logits.argmax()))
        assert decoded == target


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "beam", "beam_size": 1},
        {"strategy": "beam", "beam_size": 1, "length_penalty": 0.0},
        {"strategy": "sample", "top_k": 1},
        {"strategy": "sample", "top_p": 1e-6},
        {"strategy": "sample", "temperature": 1e-6},
    ],
)
def test_strategies_that_leave_one_choice_equal_greedy(seed: int, settings: dict[str, Any]) -> None:
    model, source = tiny_model(seed), sources(seed=seed)
    greedy = decode(model, source, DecodeSettings(max_tokens=8))
    assert decode(model, source, DecodeSettings(max_tokens=8, **settings)) == greedy


@pytest.mark.parametrize("seed", range(4))
def test_beam_finds_a_target_at_least_as_likely_as_greedy(seed: int) -> None:
    model, source = wavering_model(seed), sources(8, seed=seed)
    greedy = decode(model, source, DecodeSettings(max_tokens=6))
    beam = decode(model, source, DecodeSettings(strategy="beam", max_tokens=6, length_penalty=0.0))
    for row, wide, narrow in zip(source, beam, greedy, strict=True):
        best = log_probability(model, row, wide, 6)
        assert best >= log_probability(model, row, narrow, 6) - 1e-4


@pytest.mark.parametrize("penalty", [0.0, 0.6, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_beam_as_wide_as_all_targets_finds_the_best_of_them(seed: int, penalty: float) -> None:
    model, source = wavering_model(seed), sources(2, seed=seed)
    words = [4, 5, 6]
    settings = DecodeSettings(strategy="beam", max_tokens=3, beam_size=40, length_penalty=penalty)
    forbidden = [i for i in range(14) if i not in (3, *words)]
    decoded = decode(model, source, settings, forbidden_ids=forbidden)
    every = [list(t) for n in range(4) for t in itertools.product(words, repeat=n)]
    for row, found in zip(source, decoded, strict=True):
        assert found == max(every, key=lambda target: rank(model, row, target, penalty))


def rank(model: Seq2SeqTransformer, source: Tensor, target: list[int], penalty: float) -> float:
    """Return the GNMT score of a target of at most 3 ids when only ids 3 to 6 may be said."""
    ended = target + [3] * (len(target) < 3)
    with torch.no_grad():
        memory, mask = model.encode(source[None])
        logits = model.decode(torch.tensor([[2, *ended[:-1]]]), memory, mask)[0, :, 3:7]
    score = logits.log_softmax(-1)[range(len(ended)), [i - 3 for i in ended]].sum()
    return float(score / ((5 + len(ended)) / 6) ** penalty)


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_forbidden_pad_and_bos_ids_never_occur(strategy: Any) -> None:
    settings = DecodeSettings(strategy=strategy, max_tokens=12, temperature=5.0)
    forbidden = [1, 5, 7, 11]
    for seed in range(4):
        rows = decode(tiny_model(seed), sources(8), settings, forbidden_ids=forbidden)
        assert len(rows) == 8
        assert not {i for row in rows for i in row} & {0, 2, 3, *forbidden}


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_forbidding_the_end_gives_exactly_max_tokens(strategy: Any) -> None:
    settings = DecodeSettings(strategy=strategy, max_tokens=5)
    rows = decode(tiny_model(), sources(), settings, forbidden_ids=[3])
    assert [len(row) for row in rows] == [5] * 4


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_rows_decode_alike_alone_and_in_a_padded_batch(strategy: Any) -> None:
    model, source = tiny_model(2), sources(6)
    settings = DecodeSettings(strategy=strategy, max_tokens=8)
    alone = [decode(model, row[row != 0][None], settings)[0] for row in source]
    assert decode(model, torch.nn.functional.pad(source, (0, 3)), settings) == alone


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_empty_batch_and_all_padding_rows_decode(strategy: Any) -> None:
    settings = DecodeSettings(strategy=strategy, max_tokens=4)
    assert decode(tiny_model(), sources()[:0], settings) == []
    assert len(decode(tiny_model(), torch.zeros(2, 5, dtype=torch.int64), settings)) == 2


def test_sampling_repeats_by_seed_and_differs_between_seeds() -> None:
    model, source = tiny_model(), sources(8)
    drawn = [
        decode(model, source, DecodeSettings(strategy="sample", max_tokens=8, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_decoding_leaves_random_state_and_module_modes_as_they_were(strategy: Any) -> None:
    model = tiny_model().train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    decode(model, sources(), DecodeSettings(strategy=strategy, max_tokens=4))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes


def test_model_modes_return_even_after_an_error() -> None:
    model = tiny_model().train()
    with pytest.raises(ValueError, match="max_positions"):
        decode(model, torch.full((1, 17), 5), DecodeSettings(max_tokens=4))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2}, [0.0, 4 / 7, 0.0, 3 / 7]),
        ({"top_k": 9}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.3}, [0.0, 1.0, 0.0, 0.0]),
        ({"top_p": 0.65}, [0.0, 4 / 7, 0.0, 3 / 7]),
        ({"top_p": 0.75}, [0.0, 4 / 9, 2 / 9, 3 / 9]),
        ({"top_k": 3, "top_p": 0.76}, [0.0, 4 / 7, 0.0, 3 / 7]),
        ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        ({"temperature": 0.5, "top_k": 2}, [0.0, 16 / 25, 0.0, 9 / 25]),
    ],
)
def test_filters_leave_the_probabilities_worked_out_by_hand(
    settings: dict[str, Any], expected: list[float]
) -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.3, 0.2, 0.4, 0.1]]).log()
    kept = filtered_probabilities(logits, DecodeSettings(strategy="sample", **settings))
    torch.testing.assert_close(kept, torch.tensor([expected, expected[::-1]]))


@pytest.mark.parametrize(
    ("length", "penalty", "expected"),
    [(7, 0.0, -6.0), (1, 1.0, -6.0), (7, 1.0, -3.0), (7, 2.0, -1.5)],
)
def test_length_penalty_divides_scores_as_worked_out_by_hand(
    length: int, penalty: float, expected: float
) -> None:
    settings = DecodeSettings(strategy="beam", length_penalty=penalty)
    found = normalized_scores(torch.tensor([-6.0]), torch.tensor([length]), settings)
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_equal_logits_still_leave_exactly_top_k_ids() -> None:
    kept = filtered_probabilities(torch.zeros(1, 4), DecodeSettings(top_k=2))
    torch.testing.assert_close(kept, torch.tensor([[0.5, 0.5, 0.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
def test_decoding_works_under_autocast(strategy: Any, dtype: torch.dtype) -> None:
    settings = DecodeSettings(strategy=strategy, max_tokens=6)
    with torch.autocast("cpu", dtype=dtype):
        assert len(decode(tiny_model(), sources(), settings)) == 4
