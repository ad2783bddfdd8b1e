"""(seed, epoch, window) and lengths → the one global sequence of batches; pure functions.

Random numbers are Philox words (Salmon et al. 2011) keyed by position, and every permutation is a
stable sort of them: no state is carried, so any point of the sequence is reached by a seek, and
no library's sampling routine can change the order under a running experiment.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.integer]

_SHARDS: Final = 2**32 - 1  # the key of the shard permutation, beyond any window


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A read position: the next batch to come is `batch` of `window` of `epoch`."""

    epoch: int = 0
    window: int = 0
    batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBudget:
    """How much one global batch holds: sequences, or padded tokens of both sides together."""

    sequences: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.sequences is None) == (self.tokens is None):
            raise ValueError("a batch is cut by sequences or by tokens: give exactly one of them")
        if (self.sequences or self.tokens or 0) < 1:
            raise ValueError("a batch holds at least one sequence or token; give a larger budget")


def permutation(size: int, seed: int, epoch: int, window: int) -> Rows:
    """A permutation of range(size) that depends on nothing but the arguments."""
    return _permute(_words(seed, epoch, window), size)


def _words(seed: int, epoch: int, window: int) -> np.random.Philox:
    key = np.array([seed % 2**64, (epoch % 2**32) << 32 | window], np.uint64)
    return np.random.Philox(key=key)


def _permute(words: np.random.Philox, size: int) -> Rows:
    return np.argsort(words.random_raw(size), kind="stable")


def shard_order(num_shards: int, seed: int, epoch: int) -> Rows:
    """The order in which an epoch reads the shards."""
    return permutation(num_shards, seed, epoch, _SHARDS)


def window_bounds(num_shards: int, window_shards: int) -> list[tuple[int, int]]:
    """Half-open ranges of consecutive permuted shards that are shuffled together."""
    starts = range(0, num_shards, window_shards)
    return [(start, min(start + window_shards, num_shards)) for start in starts]


def plan_window(
    input_len: Lengths,
    target_len: Lengths,
    budget: BatchBudget,
    *,
    seed: int,
    epoch: int,
    window: int,
) -> list[Rows]:
    """Cut the samples of a window into global batches of like lengths, in random order.

    Samples are shuffled, sorted by lengths (which keeps the shuffle among equals), cut by budget,
    and the batches are shuffled. Returns the row numbers of each batch; every row occurs once.
    """
    words = _words(seed, epoch, window)
    shuffled = _permute(words, len(input_len))
    inputs, targets = (lengths[shuffled].astype(np.int64) for lengths in (input_len, target_len))
    # targets run up and down in turns: neighbours across a step of inputs are alike as well
    turn = np.where(inputs % 2 == 0, targets, -targets)
    order = np.lexsort((turn, inputs))
    ordered = shuffled[order]
    ends = _cut(inputs[order], targets[order], budget)
    starts = [0, *ends[:-1]]
    batches = [ordered[start:end] for start, end in zip(starts, ends, strict=True)]
    return [batches[number] for number in _permute(words, len(batches))]


def _cut(inputs: Rows, targets: Rows, budget: BatchBudget) -> list[int]:
    """Where each batch ends."""
    size = len(inputs)
    if budget.sequences is not None:
        return [*range(budget.sequences, size, budget.sequences), size]
    assert budget.tokens is not None, "a budget has sequences or tokens"
    ends: list[int] = []
    start = 0
    while start < size:
        # at most this many fit, since every row is padded to the longest
        most = max(1, budget.tokens // int(inputs[start] + targets[start]))
        rows = slice(start, start + most)
        width = np.maximum.accumulate(inputs[rows]) + np.maximum.accumulate(targets[rows])
        fits = np.arange(1, len(width) + 1) * width <= budget.tokens
        count = len(fits) if fits.all() else max(1, int(np.argmin(fits)))
        start += count
        ends.append(start)
    return ends


def rank_rows(rows: Rows, rank: int, world_size: int) -> Rows:
    """The rows of a global batch that one rank trains on: r, r+W, r+2W, …"""
    return rows[rank::world_size]
