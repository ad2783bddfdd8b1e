"""Source ids and target ids -> next-token logits and loss, by an encoder-decoder transformer.

Shapes: B batch, S source positions, T target positions, D model width, H heads,
K head width, F feed-forward width, V vocabulary.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from trainer.model.loss import token_cross_entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes and special ids of the model; raises ValueError where they do not fit together."""

    vocab_size: int
    d_model: int = 256
    num_heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 4
    d_ff: int = 1024
    dropout: float = 0.1
    max_positions: int = 1024
    pad_id: int = 0
    bos_id: int = 2
    eos_id: int = 3
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and not field.name.endswith("_id") and value < 1:
                raise ValueError(f"{field.name} is {value}: no model can be built; give 1 or more")
        if self.d_model % (2 * self.num_heads):
            raise ValueError(
                f"d_model is {self.d_model}: {self.num_heads} heads of equal even width do not "
                f"fit; make it a multiple of {2 * self.num_heads}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"dropout is {self.dropout}: the layers would pass on nothing usable; "
                "give a number from 0 up to, but not including, 1"
            )
        special = (self.pad_id, self.bos_id, self.eos_id)
        if len(set(special)) < 3 or not set(special) <= set(range(self.vocab_size)):
            raise ValueError(
                f"pad_id, bos_id and eos_id are {special}: targets could not be told apart from "
                f"padding; give three different ids from 0 to {self.vocab_size - 1}"
            )


@dataclass(frozen=True, slots=True)
class Outputs:
    """What one teacher-forced pass gives; the loss is 0, never NaN, where no label is real."""

    logits: Tensor  # [B, T-1, V], in the autocast dtype
    loss: Tensor  # fp32 scalar, mean over num_tokens
    loss_sum: Tensor  # fp32 scalar
    num_tokens: Tensor  # int64 scalar


class KeyValues(NamedTuple):
    """Keys and values of one attention, each [B, H, positions, K]."""

    keys: Tensor
    values: Tensor

    def append(self, later: "KeyValues") -> "KeyValues":
        """Return these positions followed by the later ones."""
        return KeyValues(*(torch.cat(pair, dim=2) for pair in zip(self, later, strict=True)))

    def select(self, rows: Tensor) -> "KeyValues":
        """Return the batch rows named by rows, [N] int64, in that order."""
        return KeyValues(*(part.index_select(0, rows) for part in self))


@dataclass(slots=True)
class DecoderCache:
    """What incremental decoding remembers: per layer the target so far and the whole source."""

    target: list[KeyValues]
    source: list[KeyValues]
    source_mask: Tensor  # [B, 1, 1, S] bool, true where attention may look
    length: int = 0

    def select(self, rows: Tensor, *, same_source: bool = False) -> None:
        """Keep the batch rows [N] int64; with same_source their source part stays put."""
        self.target = [layer.select(rows) for layer in self.target]
        if not same_source:
            self.source = [layer.select(rows) for layer in self.source]
            self.source_mask = self.source_mask.index_select(0, rows)


def sinusoids(positions: int, width: int) -> Tensor:
    """Return the fixed position signal [positions, width] fp32 (Vaswani et al., 1706.03762)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def _linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=gain * inputs**-0.5)
    return layer


class Attention(nn.Module):
    """Multi-head attention of queries [B, T, D] to KeyValues projected from any states."""

    def __init__(self, config: ModelConfig, gain: float) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.query = _linear(config.d_model, config.d_model)
        self.key_value = _linear(config.d_model, 2 * config.d_model)
        self.output = _linear(config.d_model, config.d_model, gain)
        self.output_dropout = nn.Dropout(config.dropout)

    def _heads(self, states: Tensor) -> Tensor:
        batch, length, width = states.shape
        return states.view(batch, length, self.num_heads, width // self.num_heads).transpose(1, 2)

    def project(self, states: Tensor) -> KeyValues:
        """Return the keys and values of states [B, S, D]."""
        keys, values = self.key_value(states).chunk(2, dim=-1)
        return KeyValues(self._heads(keys), self._heads(values))

    def forward(
        self, states: Tensor, seen: KeyValues, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Return [B, T, D]; mask [B, 1, 1, S] bool is true where attention may look."""
        mixed = functional.scaled_dot_product_attention(
            self._heads(self.query(states)),
            *seen,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return cast(Tensor, self.output_dropout(self.output(mixed.transpose(1, 2).flatten(2))))


class FeedForward(nn.Sequential):
    """[B, T, D] -> [B, T, D] through F hidden units with GELU."""

    def __init__(self, config: ModelConfig, gain: float) -> None:
        up, drop = _linear(config.d_model, config.d_ff), nn.Dropout(config.dropout)
        super().__init__(up, nn.GELU(), drop, _linear(config.d_ff, config.d_model, gain), drop)


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, each added to its input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        gain = (2 * config.encoder_layers) ** -0.5
        self.self_norm = nn.LayerNorm(config.d_model, bias=False)
        self.self_attention = Attention(config, gain)
        self.feed_norm = nn.LayerNorm(config.d_model, bias=False)
        self.feed_forward = FeedForward(config, gain)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return [B, S, D] from states [B, S, D] and mask [B, 1, 1, S]."""
        normed = self.self_norm(states)
        attended = self.self_attention(normed, self.self_attention.project(normed), mask)
        states = states + attended
        return cast(Tensor, states + self.feed_forward(self.feed_norm(states)))


class DecoderLayer(nn.Module):
    """Pre-norm self-attention, cross-attention and feed-forward, each added to its input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        gain = (3 * config.decoder_layers) ** -0.5
        self.self_norm = nn.LayerNorm(config.d_model, bias=False)
        self.self_attention = Attention(config, gain)
        self.cross_norm = nn.LayerNorm(config.d_model, bias=False)
        self.cross_attention = Attention(config, gain)
        self.feed_norm = nn.LayerNorm(config.d_model, bias=False)
        self.feed_forward = FeedForward(config, gain)

    def forward(self, states: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return [B, T, D] for all target positions at once, each blind to later ones."""
        normed = self.self_norm(states)
        seen = self.self_attention.project(normed)
        states = states + self.self_attention(normed, seen, causal=True)
        return self._finish(states, self.cross_attention.project(memory), mask)

    def step(
        self, states: Tensor, past: KeyValues, source: KeyValues, mask: Tensor
    ) -> tuple[Tensor, KeyValues]:
        """Return [B, 1, D] for the one next position, and past with that position added."""
        normed = self.self_norm(states)
        seen = past.append(self.self_attention.project(normed))
        return self._finish(states + self.self_attention(normed, seen), source, mask), seen

    def _finish(self, states: Tensor, source: KeyValues, mask: Tensor) -> Tensor:
        states = states + self.cross_attention(self.cross_norm(states), source, mask)
        return cast(Tensor, states + self.feed_forward(self.feed_norm(states)))


class Seq2SeqTransformer(nn.Module):
    """Translation transformer with one embedding for source, target and output."""

    positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)
        signal = sinusoids(config.max_positions, config.d_model)
        self.register_buffer("positions", signal, persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(config.d_model, bias=False)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, input_ids: Tensor, target_ids: Tensor, *, label_smoothing: float = 0.0
    ) -> Outputs:
        """Return the logits and the loss of predicting each target id from those before it.

        input_ids [B, S] int64 is right-padded with pad_id; target_ids [B, T] int64 is bos, text,
        eos, padding. Raises ValueError where a sequence is longer than max_positions.
        """
        self._check_length(target_ids.shape[1])
        memory, mask = self.encode(input_ids)
        logits = self.decode(target_ids[:, :-1], memory, mask)
        loss_sum, num_tokens = token_cross_entropy(
            logits, target_ids[:, 1:], self.config.pad_id, label_smoothing
        )
        return Outputs(logits, loss_sum / num_tokens.clamp(min=1), loss_sum, num_tokens)

    def encode(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return memory [B, S, D] and its mask [B, 1, 1, S] bool, true where attention may look."""
        real = input_ids != self.config.pad_id
        # Softmax over nothing is NaN: a row of padding alone looks at its padding.
        mask = (real | ~real.any(dim=1, keepdim=True))[:, None, None, :]
        states = self._embed(input_ids)
        for layer in self.encoder:
            states = self._layer(layer, states, mask)
        return self.encoder_norm(states), mask

    def decode(self, decoder_ids: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return logits [B, T, V] after each of decoder_ids [B, T] int64, which start with bos."""
        states = self._embed(decoder_ids)
        for layer in self.decoder:
            states = self._layer(layer, states, memory, mask)
        return self._logits(states)

    def start_cache(self, input_ids: Tensor) -> DecoderCache:
        """Return the cache from which step decodes input_ids [B, S], at target position 0."""
        memory, mask = self.encode(input_ids)
        source = [layer.cross_attention.project(memory) for layer in self._decoder_layers()]
        empty = [KeyValues(kv.keys[:, :, :0], kv.values[:, :, :0]) for kv in source]
        return DecoderCache(empty, source, mask)

    def step(self, token_ids: Tensor, cache: DecoderCache) -> Tensor:
        """Return logits [B, V] after one more id per row, [B] int64, and add it to the cache."""
        states = self._embed(token_ids[:, None], start=cache.length)
        for index, layer in enumerate(self._decoder_layers()):
            states, cache.target[index] = layer.step(
                states, cache.target[index], cache.source[index], cache.source_mask
            )
        cache.length += 1
        return self._logits(states)[:, 0]

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def _layer(self, layer: nn.Module, *inputs: Tensor) -> Tensor:
        if self.config.checkpointing and self.training and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(layer, *inputs, use_reentrant=False))
        return cast(Tensor, layer(*inputs))

    def _embed(self, ids: Tensor, start: int = 0) -> Tensor:
        end = start + ids.shape[1]
        self._check_length(end)
        scaled = self.embedding(ids) * math.sqrt(self.config.d_model)
        return cast(Tensor, self.dropout(scaled + self.positions[start:end]))

    def _logits(self, states: Tensor) -> Tensor:
        return functional.linear(self.decoder_norm(states), self.embedding.weight)

    def _check_length(self, length: int) -> None:
        if length > self.config.max_positions:
            raise ValueError(
                f"a sequence of {length} ids exceeds max_positions {self.config.max_positions}: "
                "its last ids have no position; shorten the sequence or raise max_positions"
            )
