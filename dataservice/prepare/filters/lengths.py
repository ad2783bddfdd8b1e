"""Characters and words of the sides → pairs that are empty, too short, too long or uneven."""

import numpy as np

from dataservice.prepare.filters.languages import has_spaces
from dataservice.prepare.filters.side import Batch, Side
from dataservice.prepare.text.points import Mask


def empty(batch: Batch) -> Mask:
    """A side has no text."""
    return batch.any_side(lambda side: side.lengths == 0)


def too_short(batch: Batch) -> Mask:
    """A side has fewer than `min_chars` characters."""
    return batch.any_side(lambda side: side.lengths < batch.settings.min_chars)


def too_long(batch: Batch) -> Mask:
    """A side has more than `max_chars` characters."""
    return batch.any_side(lambda side: side.lengths > batch.settings.max_chars)


def too_few_words(batch: Batch) -> Mask:
    """A side has fewer than `min_words` words, in a language that divides them."""
    if batch.settings.min_words <= 1:
        return batch.nothing
    return batch.any_side(lambda side: _worded(side, side.word_counts < batch.settings.min_words))


def too_many_words(batch: Batch) -> Mask:
    """A side has more than `max_words` words."""
    if not batch.settings.max_words:
        return batch.nothing
    return batch.any_side(lambda side: side.word_counts > batch.settings.max_words)


def long_word(batch: Batch) -> Mask:
    """A side has a word of more than `max_word_chars` characters: encoded data, a broken layout."""
    limit = batch.settings.max_word_chars
    if not limit or all(side.lengths.max(initial=0) <= limit for side in batch.sides):
        return batch.nothing
    return batch.any_side(lambda side: _worded(side, _longest_word(side) > limit))


def length_ratio(batch: Batch) -> Mask:
    """One side is more than `max_length_ratio` times as long as the other, and some slack."""
    if batch.tgt is None:
        return batch.nothing
    shorter = np.minimum(batch.src.lengths, batch.tgt.lengths)
    longer = np.maximum(batch.src.lengths, batch.tgt.lengths)
    slack = batch.settings.ratio_slack_chars
    return longer + slack > batch.settings.max_length_ratio * (shorter + slack)


def _worded(side: Side, mask: Mask) -> Mask:
    return mask if has_spaces(side.language) else np.zeros_like(mask)


def _longest_word(side: Side) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    begins, ends, first = side.words
    return np.maximum.reduceat(ends - begins, first) if len(begins) else side.lengths
