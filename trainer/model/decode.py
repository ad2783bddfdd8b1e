"""A trained model and source ids -> target ids, by greedy choice, sampling or beam search.

Shapes: B batch, S source positions, T target positions, V vocabulary, W beam width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, get_args

import torch
from torch import Tensor

from trainer.model.transformer import DecoderCache, Seq2SeqTransformer

Strategy = Literal["greedy", "sample", "beam"]


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """How target ids are chosen; raises ValueError for settings that choose nothing.

    temperature, top_k (0 is off), top_p and seed apply to sampling; beam_size and length_penalty
    (Wu et al. 2016, arXiv:1609.08144, without the coverage term) apply to beam search.
    """

    strategy: Strategy = "greedy"
    max_tokens: int = 128
    beam_size: int = 4
    length_penalty: float = 0.6
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        demands = {
            "strategy": (self.strategy in get_args(Strategy), f"one of {get_args(Strategy)}"),
            "max_tokens": (self.max_tokens >= 1, "1 or more"),
            "beam_size": (self.beam_size >= 1, "1 or more"),
            "length_penalty": (0.0 <= self.length_penalty < 100.0, "0 up to 100"),
            "temperature": (1e-6 <= self.temperature <= 1e6, "0.000001 to 1000000"),
            "top_k": (self.top_k >= 0, "0 for no limit, or more"),
            "top_p": (0.0 < self.top_p <= 1.0, "a number above 0, up to 1"),
        }
        for name, (met, demand) in demands.items():
            if not met:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}: no target id could be chosen by it; "
                    f"give {demand}"
                )


def decode(
    model: Seq2SeqTransformer,
    input_ids: Tensor,
    settings: DecodeSettings,
    *,
    forbidden_ids: Sequence[int] = (),
) -> list[list[int]]:
    """Return the ids decoded for each row of input_ids [B, S] int64, without bos and eos.

    Rows may be empty, and have at most settings.max_tokens ids, none of them pad or forbidden.
    The model leaves as it came, and the global random state is neither read nor changed.

    Raises:
        ValueError: max_tokens exceeds the model's positions, or forbidden_ids leave no id.
    """
    blocked = _blocked_ids(model, settings, forbidden_ids).to(input_ids.device)
    with _evaluating(model), torch.inference_mode():
        if settings.strategy == "beam":
            rows = _beam_search(model, input_ids, settings, blocked)
        else:
            rows = _one_by_one(model, input_ids, settings, blocked)
    eos_id = model.config.eos_id
    return [list(takewhile(lambda token: token != eos_id, row)) for row in rows.tolist()]


def filtered_probabilities(logits: Tensor, settings: DecodeSettings) -> Tensor:
    """Return [B, V] fp32 probabilities of logits [B, V] after temperature, top-k, then top-p.

    Top-p keeps the fewest likeliest ids that together reach top_p (Holtzman et al. 2020,
    arXiv:1904.09751); of equal logits the smaller id counts as the likelier.
    """
    scaled = (logits - logits.amax(dim=-1, keepdim=True)) / settings.temperature
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    if settings.top_k:
        ordered[:, settings.top_k :] = float("-inf")
    kept = ordered.softmax(dim=-1)
    if settings.top_p < 1.0:
        kept = kept.masked_fill(kept.cumsum(dim=-1) - kept >= settings.top_p, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, order, kept)


def normalized_scores(scores: Tensor, lengths: Tensor, settings: DecodeSettings) -> Tensor:
    """Return scores, sums of log probabilities, each over the length penalty of its length.

    Lengths count eos; scores and lengths may be of any shapes that broadcast
    (Wu et al. 2016, arXiv:1609.08144, equation 14).
    """
    return scores / ((5.0 + lengths) / 6.0) ** settings.length_penalty


@contextmanager
def _evaluating(model: Seq2SeqTransformer) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _blocked_ids(
    model: Seq2SeqTransformer, settings: DecodeSettings, forbidden_ids: Sequence[int]
) -> Tensor:
    config = model.config
    if settings.max_tokens > config.max_positions:
        raise ValueError(
            f"max_tokens is {settings.max_tokens}: the model has {config.max_positions} positions "
            f"and would fail on a long target; give at most {config.max_positions}"
        )
    blocked = {config.pad_id, config.bos_id, *forbidden_ids}
    if not blocked < set(range(config.vocab_size)):
        raise ValueError(
            f"forbidden_ids has {len(forbidden_ids)} ids: one is outside the vocabulary of "
            f"{config.vocab_size}, or none is left to choose; give only ids the target must avoid"
        )
    return torch.tensor(sorted(blocked))


def _next_logits(
    model: Seq2SeqTransformer, tokens: Tensor, cache: DecoderCache, blocked: Tensor
) -> Tensor:
    return model.step(tokens, cache).float().index_fill(-1, blocked, float("-inf"))


def _chooser(settings: DecodeSettings, device: torch.device) -> Callable[[Tensor], Tensor]:
    if settings.strategy == "greedy":
        return lambda logits: logits.argmax(dim=-1)
    generator = torch.Generator(device).manual_seed(settings.seed)
    return lambda logits: torch.multinomial(
        filtered_probabilities(logits, settings), 1, generator=generator
    ).squeeze(1)


def _one_by_one(
    model: Seq2SeqTransformer, input_ids: Tensor, settings: DecodeSettings, blocked: Tensor
) -> Tensor:
    """Return [B, T] ids, padded after eos."""
    choose = _chooser(settings, input_ids.device)
    cache = model.start_cache(input_ids)
    tokens = input_ids.new_full((len(input_ids),), model.config.bos_id)
    finished = torch.zeros_like(tokens, dtype=torch.bool)
    columns: list[Tensor] = []
    while len(columns) < settings.max_tokens and not finished.all():
        chosen = choose(_next_logits(model, tokens, cache, blocked))
        tokens = chosen.masked_fill(finished, model.config.pad_id)
        columns.append(tokens)
        finished = finished | (tokens == model.config.eos_id)
    return torch.stack(columns, dim=1) if columns else input_ids[:, :0]


@dataclass(frozen=True, slots=True)
class _Beams:
    """The W best targets of each row so far; a finished one stays among them as it is."""

    ids: Tensor  # [B, W, T]
    scores: Tensor  # [B, W] sum of log probabilities
    lengths: Tensor  # [B, W] ids chosen, eos included
    finished: Tensor  # [B, W]


def _beam_search(
    model: Seq2SeqTransformer, input_ids: Tensor, settings: DecodeSettings, blocked: Tensor
) -> Tensor:
    """Return [B, T] ids of the best target of each row, padded after eos."""
    batch, width, vocab = len(input_ids), settings.beam_size, model.config.vocab_size
    rows = torch.arange(batch, device=input_ids.device)
    cache = model.start_cache(input_ids)
    cache.select(rows.repeat_interleave(width))
    tokens = input_ids.new_full((batch * width,), model.config.bos_id)
    beams = _first_beams(input_ids, width)
    while beams.ids.shape[2] < settings.max_tokens and not _settled(beams, settings):
        logits = _next_logits(model, tokens, cache, blocked)
        log_probs = logits.log_softmax(dim=-1).view(batch, width, vocab)
        beams, parents = _extend(model, beams, log_probs, settings)
        cache.select((rows[:, None] * width + parents).flatten(), same_source=True)
        tokens = beams.ids[:, :, -1].flatten()
    best = normalized_scores(beams.scores, beams.lengths, settings).argmax(dim=1)
    return beams.ids[rows, best]


def _first_beams(input_ids: Tensor, width: int) -> _Beams:
    shape = (len(input_ids), width)
    # All beams start alike: only the first may be extended, or they would stay copies.
    scores = torch.full(shape, float("-inf"), device=input_ids.device)
    scores[:, 0] = 0.0
    lengths = input_ids.new_zeros(shape)
    return _Beams(input_ids.new_zeros((*shape, 0)), scores, lengths, lengths.bool())


def _extend(
    model: Seq2SeqTransformer, beams: _Beams, log_probs: Tensor, settings: DecodeSettings
) -> tuple[_Beams, Tensor]:
    """Return the W best one-id extensions of beams by log_probs [B, W, V], and their parents."""
    stay = log_probs.new_full((log_probs.shape[2],), float("-inf"))
    stay[model.config.pad_id] = 0.0
    scores = beams.scores[..., None] + torch.where(beams.finished[..., None], stay, log_probs)
    lengths = beams.lengths + ~beams.finished
    ranks = normalized_scores(scores, lengths[..., None], settings)
    chosen = ranks.flatten(1).topk(beams.scores.shape[1]).indices
    parents, tokens = chosen // len(stay), chosen % len(stay)
    grown = torch.cat((_rows_of(beams.ids, parents), tokens[..., None]), dim=2)
    finished = beams.finished.gather(1, parents) | (tokens == model.config.eos_id)
    scores = scores.flatten(1).gather(1, chosen)
    return _Beams(grown, scores, lengths.gather(1, parents), finished), parents


def _rows_of(ids: Tensor, parents: Tensor) -> Tensor:
    return ids.gather(1, parents[..., None].expand(-1, -1, ids.shape[2]))


def _settled(beams: _Beams, settings: DecodeSettings) -> bool:
    """Tell whether no unfinished beam can still outrank its row's best finished one."""
    ranks = normalized_scores(beams.scores, beams.lengths, settings)
    # Scores only fall and the penalty only grows: a beam's best hope is its score at full length.
    hopes = normalized_scores(
        beams.scores, torch.full_like(beams.lengths, settings.max_tokens), settings
    )
    best = ranks.masked_fill(~beams.finished, float("-inf")).amax(dim=1)
    return bool((best >= hopes.masked_fill(beams.finished, float("-inf")).amax(dim=1)).all())
