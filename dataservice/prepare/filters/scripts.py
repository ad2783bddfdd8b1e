"""Letters of the sides by script → pairs without letters, or in another script than their own."""

from typing import Final

import numpy as np

from dataservice.prepare.filters.side import Batch, Side, confirm
from dataservice.prepare.filters.words import plain_words
from dataservice.prepare.text.points import Mask

# A side with fewer letters says too little of its script: "OK", "%s", "v 2".
_FEW_LETTERS: Final = 3
_FEW_WORDS: Final = 3  # fewer of another script are the names of commands: "endw без while"


def no_letters(batch: Batch) -> Mask:
    """A side has fewer than `min_letters` letters, of whatever script."""
    if not batch.settings.min_letters:
        return batch.nothing
    return batch.any_side(lambda side: np.add(*side.letters) < batch.settings.min_letters)


def wrong_script(batch: Batch) -> Mask:
    """Too few of a side's letters are of a script of its language, as far as that is known.

    Names and code in another script are excused where there is a letter of the own one.
    """
    limit = batch.settings.min_script_share
    return batch.any_side(lambda side: _foreign(side, limit)) if limit else batch.nothing


def _foreign(side: Side, min_share: float) -> Mask:
    own, other = side.letters
    letters = own + other
    none: Mask = (own == 0) & (letters > 0)
    some = ~none & (letters >= _FEW_LETTERS) & (own < min_share * letters)
    return none | confirm(some, lambda row: own_share(side, row) < min_share)


def own_share(side: Side, row: int) -> float:
    """The share of own letters among those and the letters of plain words in another script.

    It is 1 where there are few such words.
    """
    own = int(side.letters[0][row])
    scripts, classes = side.own_classes, side.tables.classes
    other = [
        len(word) for word in plain_words(side.texts[row]) if classes[ord(word[0])] not in scripts
    ]
    return own / (own + sum(other)) if len(other) >= _FEW_WORDS else 1.0
