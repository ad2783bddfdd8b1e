"""Both sides of a pair → pairs of which one side is the other, whole or nearly."""

import numpy as np

from dataservice.prepare.filters.side import Batch, confirm
from dataservice.prepare.filters.words import plain_words
from dataservice.prepare.text.points import Mask
from shards.languages import possible_scripts_of

_MIN_WORDS = 4  # names, commands and titles of fewer words are copied for good reasons


def identical_sides(batch: Batch) -> Mask:
    """The sides are equal."""
    if batch.tgt is None or not batch.settings.drop_identical:
        return batch.nothing
    src, tgt = batch.src, batch.tgt
    return confirm(
        (src.lengths == tgt.lengths) & (_firsts(batch) == _firsts(batch, target=True)),
        lambda row: src.texts[row] == tgt.texts[row],
    )


def _firsts(batch: Batch, *, target: bool = False) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The first character of each text [N]."""
    side = batch.tgt if target and batch.tgt else batch.src
    points = side.points.points
    if not len(points):
        return np.zeros(len(side.texts), np.uint32)
    return points[np.minimum(side.points.starts[:-1], len(points) - 1)]


def untranslated(batch: Batch) -> Mask:
    """More than `max_copied_share` of a side's words stand on the other side as well."""
    limit = batch.settings.max_copied_share
    if batch.tgt is None or limit >= 1:
        return batch.nothing
    src, tgt = batch.src, batch.tgt
    suspects = np.minimum(src.word_counts, tgt.word_counts) >= _MIN_WORDS
    ours, theirs = possible_scripts_of(src.language), possible_scripts_of(tgt.language)
    if ours and theirs and ours.isdisjoint(theirs):
        # what was copied has letters of the other side's script; short words are copied first
        suspects &= (src.letters[1] > 0.7 * limit * sum(tgt.letters)) | (
            tgt.letters[1] > 0.7 * limit * sum(src.letters)
        )
    elif suspects.any():
        both = np.bitwise_count(src.word_marks & tgt.word_marks)
        least = np.minimum(np.bitwise_count(src.word_marks), np.bitwise_count(tgt.word_marks))
        suspects &= both >= 0.8 * limit * least
    return confirm(suspects, lambda row: copied_share(src.texts[row], tgt.texts[row]) > limit)


def copied_share(src: str, tgt: str) -> float:
    """The share of the different plain words that both sides have, of the poorer side."""
    ours, theirs = set(plain_words(src)), set(plain_words(tgt))
    least = min(len(ours), len(theirs))
    return len(ours & theirs) / least if least >= _MIN_WORDS else 0.0
