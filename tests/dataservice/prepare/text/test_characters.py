"""Characters all at once → what each is told to be one by one."""

import unicodedata
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from dataservice.prepare.text.characters import END, changed_by, every_char, is_category
from dataservice.prepare.text.clean import strip_invisible
from dataservice.prepare.text.keys import _fold_table


def test_every_character_is_there_once_and_in_order() -> None:
    assert list(map(ord, every_char())) == list(range(END))


@pytest.mark.parametrize("category", ["L", "M", "Lu", "Nd", "Zs", "Cs"])
def test_a_category_has_the_characters_that_unicode_says(category: str) -> None:
    told = [char for char in every_char() if unicodedata.category(char).startswith(category)]
    assert "".join(np.array(list(every_char()))[is_category(category)]) == "".join(told)


@pytest.mark.parametrize(
    "change", [str.casefold, strip_invisible, partial(unicodedata.normalize, "NFC")]
)
def test_no_character_that_changes_is_passed_over(change: Callable[[str], str]) -> None:
    expected = {ord(char): change(char) for char in every_char() if change(char) != char}
    assert changed_by(change) == expected


def test_letters_fold_to_small_ones_digits_to_one_and_signs_to_none() -> None:
    assert _fold_table()[:END].tolist() == list(map(_folded, every_char()))
    assert (_fold_table()[END:] == np.arange(END, 0x110000)).all()


def _folded(char: str) -> int:
    if char.isalpha():
        return ord(char.casefold() if len(char.casefold()) == 1 else char)
    if char.isdecimal():
        return ord("0")
    return ord(char) if char.isalnum() or unicodedata.category(char)[0] == "M" else 0
