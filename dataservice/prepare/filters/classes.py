"""Unicode → tables of all code points: the class of each, its script, the value of a digit."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.filters.languages import BLOCKS
from dataservice.prepare.text.characters import END, is_category
from dataservice.prepare.text.points import NUM_POINTS

OTHER, SPACE, DIGIT = 0, 1, 2
PERCENT, BRACE, DOLLAR, LESS, COLON, AT = 3, 4, 5, 6, 7, 8
UNKNOWN_LETTER: Final = 15  # of a script that no language of the table has
FIRST_SCRIPT: Final = 16
_SIGNS: Final = {"%": PERCENT, "{": BRACE, "$": DOLLAR, "<": LESS, ":": COLON, "@": AT}
_MORE_HAN: Final = range(0x20000, 0x323B0)


@dataclass(frozen=True, slots=True)
class Tables:
    """What is known of each code point; made once in a process."""

    classes: npt.NDArray[np.uint8]  # [NUM_POINTS]
    digit_values: npt.NDArray[np.uint8]  # [NUM_POINTS], 0 where there is no digit

    def packed(self, scripts: Collection[str], bits: int) -> npt.NDArray[np.int64]:
        """A value for each class: 1 for a letter of these scripts, 1 << bits for another's [256].

        Without scripts every letter is one of them.
        """
        values = np.zeros(256, np.int64)
        values[UNKNOWN_LETTER:] = 1 << bits if scripts else 1
        for script in scripts:
            values[script_class(script)] = 1
        return values


def script_class(script: str) -> int:
    """The class of a script's letters."""
    return FIRST_SCRIPT + list(BLOCKS).index(script)


@cache
def tables() -> Tables:
    """The tables; about 0.01 s the first time."""
    classes = np.zeros(NUM_POINTS, np.uint8)
    digit_values = np.zeros(NUM_POINTS, np.uint8)
    blocks = np.full(END, UNKNOWN_LETTER, np.uint8)
    for script, ranges in BLOCKS.items():
        for start, stop in ranges:
            blocks[start : stop + 1] = script_class(script)
    first = classes[:END]
    is_letter = is_category("L") | (is_category("M") & (blocks != UNKNOWN_LETTER))
    first[is_letter] = blocks[is_letter]
    first[is_category("Zs")] = SPACE
    for point in np.flatnonzero(is_category("Nd")).tolist():
        first[point], digit_values[point] = DIGIT, unicodedata.decimal(chr(point))
    classes[_MORE_HAN] = script_class("CJK")
    for sign, number in _SIGNS.items():
        classes[ord(sign)] = number
    for sign in "ªº":  # ordinal signs: written beside digits of any script
        classes[ord(sign)] = OTHER
    return Tables(classes, digit_values)
