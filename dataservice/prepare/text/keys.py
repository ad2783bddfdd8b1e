"""Texts → 64-bit keys that leave case, punctuation and digits aside; pairs → the keys of both.

All texts of a chunk at once: N texts, C code points. A key is the sum of one mixed word for each
kept code point and its place, mixed again, so two texts that differ share one with chance 2⁻⁶⁴.
"""

import functools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.text.characters import END, changed_by, every_char, is_category
from dataservice.prepare.text.points import NUM_POINTS, CodePoints

Keys = npt.NDArray[np.uint64]

_SLICE: Final = 1 << 15  # code points that fit the cache while they are mixed
_DIGIT: Final = ord("0")


def fold_keys(points: CodePoints) -> Keys:
    """Keys of texts [N]: equal for texts that differ in case, signs, spaces or numbers."""
    keys = np.zeros(len(points.starts) - 1, np.uint64)
    for begin, end in _slices(points.starts):
        first, last = points.starts[begin], points.starts[end]
        folded = _fold_table().take(points.points[first:last])
        bounds = points.starts[begin : end + 1] - first
        is_digit = folded == _DIGIT
        follows = is_digit[1:] & is_digit[:-1]
        inner = bounds[(bounds > 0) & (bounds < len(folded))]
        follows[inner - 1] = False  # the digit before ends another text
        folded[1:][follows] = 0  # a number is one digit, however long
        kept = np.flatnonzero(folded != 0)  # of a mask it is four times as fast
        starts = np.searchsorted(kept, bounds)
        keys[begin:end] = _hash(folded.take(kept), starts)
        # a text of signs alone is told from others by all of it
        if len(bare := np.flatnonzero(np.diff(starts) == 0)):
            keys[bare + begin] = _hash_bare(points, bare + begin)
    return keys


def _slices(starts: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose code points fit the cache while they are mixed; all rows are in one."""
    begin, num_rows = 0, len(starts) - 1
    while begin < num_rows:
        end = int(np.searchsorted(starts, starts[begin] + _SLICE, side="right")) - 1
        end = min(max(end, begin + 1), num_rows)
        yield begin, end
        begin = end


def _hash_bare(points: CodePoints, rows: npt.NDArray[np.int64]) -> Keys:
    begins, ends = points.starts[rows], points.starts[rows + 1]
    pieces = [points.points[begin:end] for begin, end in zip(begins, ends, strict=True)]
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(ends - begins, out=starts[1:])
    return mix(_hash(np.concatenate(pieces), starts))


def _hash(points: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64]) -> Keys:
    lengths = np.diff(starts)
    places = np.arange(len(points), dtype=np.int64)
    places -= np.repeat(starts[:-1], lengths)
    words = places.astype(np.uint64)
    words <<= np.uint64(32)
    words |= points
    _mix_in_place(words)
    sums = np.zeros(len(words) + 1, np.uint64)
    np.cumsum(words, out=sums[1:])
    return mix(sums[starts[1:]] - sums[starts[:-1]] + lengths.astype(np.uint64))


def mix(values: Keys) -> Keys:
    """A bijection of 64-bit words that leaves no pattern: the finalizer of SplitMix64."""
    mixed = values.copy()
    _mix_in_place(mixed)
    return mixed


def combine(one: Keys, other: Keys) -> Keys:
    """One key of two, in their order."""
    return mix(mix(one) + other)


def first_of_each(values: Keys) -> npt.NDArray[np.int64]:
    """For every value the place of the first that equals it [N]."""
    order = np.argsort(values)  # not stable, which takes three times as long
    ordered = values[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    first = np.empty(len(values), np.int64)
    if len(values):
        sizes = np.diff(begins, append=len(values))
        first[order] = np.repeat(np.minimum.reduceat(order, begins), sizes)
    return first


def in_sorted(values: Keys, known: Keys) -> npt.NDArray[np.bool_]:
    """Which values stand in a sorted array, which may lie on the disk [N]."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    places = np.searchsorted(known, values)
    places[places == len(known)] = 0
    return np.asarray(known[places] == values)


def _mix_in_place(words: Keys) -> None:
    words += np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)


@functools.cache
def _fold_table() -> npt.NDArray[np.uint32]:
    """What each code point is folded to; 0 for what is left out.

    Behind END there is neither case nor a sign.
    """
    table = np.arange(NUM_POINTS, dtype=np.uint32)
    first, letters = table[:END], is_category("L")
    numbers = np.fromiter(map(str.isnumeric, every_char()), np.bool_, END)
    first[~(letters | is_category("M") | numbers)] = 0
    first[is_category("Nd")] = _DIGIT
    for point, folded in changed_by(str.casefold).items():
        # one for one: a letter that folds to two, as ß, stands for itself in lower case
        if letters[point] and len(folded) == 1:
            first[point] = ord(folded)
    return table
