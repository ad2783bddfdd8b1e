"""(seed, epoch, window) and lengths → the one global sequence of batches; pure functions.

Random numbers are Philox words (Salmon et al. 2011) keyed by position, and every permutation is a
stable sort of them: no state is carried, so any point of the sequence is reached by a seek, and
no library's sampling routine can change the order under a running experiment.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.integer]

ORDER_VERSION: Final = 2
"""Changes when the same seed, data and settings give other batches than before."""

_SPREAD: Final = 4
_SHARDS: Final = 2**32 - 1  # the key of the shard permutation, beyond any window


class Cursor(NamedTuple):
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


def window_bounds(samples: Sequence[int], window_samples: int) -> list[tuple[int, int]]:
    """Half-open ranges of shards that are shuffled together, given each shard's samples in order.

    The first window is one shard: the first batch need not wait for more. The others hold about
    `window_samples` each, evenly, but at least a shard.
    """
    rest = np.array(samples[1:], np.int64)
    total = int(rest.sum())
    windows = max(1, (2 * total + window_samples) // (2 * window_samples))
    # the window in which the middle of a shard lies
    of_shard = (2 * np.cumsum(rest) - rest) * windows // max(1, 2 * total)
    starts = [0, *(1 + np.flatnonzero(np.diff(of_shard, prepend=-1))).tolist()]
    return list(itertools.pairwise([*starts, len(samples)])) if samples else []


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The batches of a window, in the order in which they are trained on."""

    rows: Rows  # [N] row numbers of one batch after the other
    ends: Rows  # [number of batches] where each batch ends in `rows`

    def __len__(self) -> int:
        return len(self.ends)

    def span(self, first: int, last: int) -> slice:
        """Where the batches first, …, last - 1 lie in `rows`."""
        return slice(int(self.ends[first - 1]) if first else 0, int(self.ends[last - 1]))

    def batch(self, number: int) -> Rows:
        """The rows of one batch."""
        return self.rows[self.span(number, number + 1)]


def plan_window(
    input_len: Lengths,
    target_len: Lengths,
    budget: BatchBudget,
    *,
    seed: int,
    epoch: int,
    window: int,
) -> WindowPlan:
    """Cut the samples of a window into global batches of like lengths, in random order.

    Samples are sorted by length, at random among equals, cut by budget, and the batches are
    shuffled. Every row occurs once.
    """
    words = _words(seed, epoch, window)
    keys = _length_keys(input_len, target_len, budget)
    order = _sort_at_random(keys, words.random_raw(len(keys)))
    ends = _cut(input_len[order], target_len[order], budget)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    shuffled = _permute(words, len(ends))
    sizes = (ends - starts)[shuffled]
    new_ends = np.cumsum(sizes)
    rows = order[np.repeat(starts[shuffled] - (new_ends - sizes), sizes) + np.arange(len(order))]
    return WindowPlan(rows, new_ends)


def batch_shapes(
    input_len: Lengths, target_len: Lengths, budget: BatchBudget
) -> tuple[Rows, Rows, Rows]:
    """Rows, input width and target width of each batch of a window, without its permutation.

    They depend on the lengths alone, whatever the seed, the epoch, and which sample has which.
    """
    order = np.argsort(_length_keys(input_len, target_len, budget), kind="stable")
    inputs, targets = input_len[order], target_len[order]
    ends = _cut(inputs, targets, budget)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    return ends - starts, _widths(inputs, starts), _widths(targets, starts)


def _widths(lengths: Lengths, starts: Rows) -> Rows:
    if not len(starts):
        return starts
    return np.maximum.reduceat(lengths, starts).astype(np.int64)


def _length_keys(
    input_len: Lengths, target_len: Lengths, budget: BatchBudget
) -> npt.NDArray[np.uint64]:
    """One number for each sample, by which samples of like lengths become neighbours.

    Samples with one key have equal lengths.
    """
    bins, within = _bins(input_len, target_len, budget)
    targets = target_len.astype(np.uint64)
    highest = targets.max(initial=np.uint64(0))
    # targets run up and down in turns: neighbours across a step of inputs are alike as well
    turn = np.where(bins % np.uint64(2) == 0, targets, highest - targets)
    widest = within.max(initial=np.uint64(0))
    sides = bins * (highest + np.uint64(1)) + turn
    keys: npt.NDArray[np.uint64] = sides * (widest + np.uint64(1)) + within
    return keys


def _bins(
    input_len: Lengths, target_len: Lengths, budget: BatchBudget
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """For each sample the number of its range of input lengths, and its place in that range.

    Where samples are dense a range is one length. Where they are sparse, a batch would hold one
    length of input but all lengths of target; a range is then as wide as the targets of a batch
    spread, so that both sides are padded alike.
    """
    targets = target_len.astype(np.float64)  # sums stay far below 2**53, where floats are exact
    counts = np.bincount(input_len)
    sums = np.bincount(input_len, targets)
    squares = np.bincount(input_len, targets * targets)
    numbers, lows = np.zeros(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
    number, low, n, total, square = 0, -1, 0, 0, 0
    for length in np.flatnonzero(counts).tolist():
        low = length if low < 0 else low
        n, total = n + int(counts[length]), total + int(sums[length])
        square += int(squares[length])
        numbers[length], lows[length] = number, low
        rows = budget.sequences or max(1, (budget.tokens or 0) // (2 * length))
        # width >= spread / (n / rows), in whole numbers; a spread is 4 standard deviations
        width, variance = length - low + 1, n * square - total * total
        if (width * n * n) ** 2 >= _SPREAD**2 * variance * rows * rows:
            number, low, n, total, square = number + 1, -1, 0, 0, 0
    return numbers[input_len], input_len.astype(np.uint64) - lows[input_len]


def _sort_at_random(keys: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64]) -> Rows:
    """Row numbers in the order of the keys; rows of equal keys come in the order of the words.

    Key, word and row are packed into 64 distinct bits each: then any sorting routine gives the
    same result, and the fastest one may be used.
    """
    size = np.uint64(len(keys))
    row_bits = int(size).bit_length()
    key_bits = int(keys.max(initial=np.uint64(0))).bit_length()
    word_bits = 64 - key_bits - row_bits
    if word_bits <= 0:  # texts of ten thousands of ids
        return np.lexsort((words, keys))
    packed = keys << np.uint64(64 - key_bits) if key_bits else np.zeros(len(keys), np.uint64)
    packed |= words >> np.uint64(64 - word_bits) << np.uint64(row_bits)
    packed |= np.arange(size, dtype=np.uint64)
    packed.sort()
    return (packed & np.uint64((1 << row_bits) - 1)).astype(np.int64)


def _cut(inputs: Lengths, targets: Lengths, budget: BatchBudget) -> Rows:
    """Where each batch ends."""
    size = len(inputs)
    if budget.sequences is not None:
        ends = np.arange(budget.sequences, size + budget.sequences, budget.sequences)
        return np.minimum(ends, size)
    assert budget.tokens is not None, "a budget has sequences or tokens"
    found: list[int] = []
    start = 0
    while start < size:
        # at most this many fit, since every row is padded to the longest
        most = max(1, budget.tokens // (int(inputs[start]) + int(targets[start])))
        rows = slice(start, start + most)
        width = np.maximum.accumulate(inputs[rows]) + np.maximum.accumulate(targets[rows])
        fits = np.arange(1, len(width) + 1) * width <= budget.tokens
        count = len(fits) if fits.all() else max(1, int(np.argmin(fits)))
        start += count
        found.append(start)
    return np.array(found, np.int64)


def rank_rows(rows: Rows, rank: int, world_size: int) -> Rows:
    """The rows of a global batch that one rank trains on: r, r+W, r+2W, …"""
    return rows[rank::world_size]
