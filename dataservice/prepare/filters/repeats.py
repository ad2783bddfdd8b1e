"""Characters and words that recur within a side → pairs that say the same thing on and on."""

from collections import Counter
from typing import Final

import numpy as np

from dataservice.prepare.filters.side import Batch, Side, confirm
from dataservice.prepare.text.points import Mask

_MIN_WORDS: Final = 8  # shorter texts say things twice for good reasons
_N: Final = 3
_MIN_DOUBLED: Final = 4
_STEM: Final = 5  # letters that the forms of a word have in common
_SLOTS: Final = 8
_MIX: Final = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 0x9FB21C651E98DF25], np.uint64)


def repeated_chars(batch: Batch) -> Mask:
    """A side has one character more than `max_char_run` times in a row."""
    if not batch.settings.max_char_run:
        return batch.nothing
    return batch.any_side(lambda side: _has_run(side, batch.settings.max_char_run + 1))


def _has_run(side: Side, length: int) -> Mask:
    """Which texts have a character `length` times in a row."""
    points = side.points.points
    found = np.zeros(len(side.texts), np.bool_)
    if len(points) < length:
        return found
    same = points[1:] == points[:-1]  # same[i]: a run of 2 begins at i
    reach = 1
    while reach < length - 1:
        step = min(reach, length - 1 - reach)
        same = same[:-step] & same[step:]
        reach += step
    begins = np.flatnonzero(same)
    rows = side.rows_of(begins)
    found[rows[begins + length <= side.points.starts[rows + 1]]] = True
    return found


def repeated_words(batch: Batch) -> Mask:
    """More than `max_repeated_share` of a side's word triples stand in it more than once."""
    if batch.settings.max_repeated_share >= 1:
        return batch.nothing
    return batch.any_side(lambda side: _recurs(side, batch.settings.max_repeated_share))


def _recurs(side: Side, max_share: float) -> Mask:
    words = side.word_counts
    found = np.zeros(len(side.texts), np.bool_)
    rows = np.flatnonzero(words >= _MIN_WORDS)
    if not len(rows):
        return found
    # a table of 8 slots a triple: how many of them are taken says how many triples differ
    counts = words[rows] - (_N - 1)
    bases = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(rows)), counts)
    at = side.words[2][rows][owner] + np.arange(len(owner)) - bases[owner]
    hashes = side.word_hashes
    triples = hashes[at] * _MIX[0] + hashes[at + 1] * _MIX[1] + hashes[at + 2] * _MIX[2]
    slots = (triples >> np.uint64(32)) % (counts * _SLOTS)[owner].astype(np.uint64)
    taken = np.zeros(len(owner) * _SLOTS, np.bool_)
    taken[bases[owner] * _SLOTS + slots.astype(np.int64)] = True
    different = np.add.reduceat(taken, bases * _SLOTS, dtype=np.int64)
    # of n triples that recur at most n/2 differ; a slot that two of them share marks a suspect
    found[rows] = different < (1 - max_share / 2) * counts
    return confirm(found, lambda row: repeated_share(side.texts[row]) > max_share)


def repeated_share(text: str) -> float:
    """The share of a text's word triples that are there more than once."""
    words = text.split()
    triples = Counter(zip(*(words[first:] for first in range(_N)), strict=False))
    recurring = sum(number for number in triples.values() if number > 1)
    return recurring / max(triples.total(), 1)


def doubled(batch: Batch) -> Mask:
    """One side says the same twice, the other does not: two forms of one text, in one string."""
    if batch.tgt is None or not batch.settings.drop_doubled:
        return batch.nothing
    return _is_doubled(batch.src) ^ _is_doubled(batch.tgt)


def _is_doubled(side: Side) -> Mask:
    words, first = side.word_counts, side.words[2]
    suspects = (words >= _MIN_DOUBLED) & (words % 2 == 0)
    rows = np.flatnonzero(suspects)
    last, half = first[rows] + words[rows] - 1, words[rows] // 2
    suspects[rows] = side.word_hashes[last] == side.word_hashes[last - half]
    return confirm(suspects, lambda row: says_twice(side.texts[row]))


def says_twice(text: str) -> bool:
    """Whether the words of a text's second half are those of the first, their endings aside."""
    words = text.casefold().split()
    half = len(words) // 2
    return all(
        one[:_STEM] == other[:_STEM] for one, other in zip(words[:half], words[half:], strict=True)
    )
