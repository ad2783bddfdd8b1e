"""Letters by script → dropped or kept, in any language."""

import unicodedata
from itertools import pairwise
from typing import Any

import pytest

from dataservice.prepare.filters.classes import FIRST_SCRIPT, UNKNOWN_LETTER, script_class, tables
from dataservice.prepare.filters.languages import BLOCKS, has_spaces
from dataservice.prepare.filters.side import Side
from shards.languages import LANGUAGES, script_of
from tests.dataservice.prepare.filters.judge import reason, says


@pytest.mark.parametrize(
    ("src", "tgt"), [("123", "124"), ("да", "123"), ("12:30 — 14:00", "from 12"), ("…", "wait")]
)
def test_a_side_without_letters_is_dropped(src: str, tgt: str) -> None:
    assert reason(src, tgt) == "no_letters"
    assert not says("no_letters", src, tgt, min_letters=0)


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [
        ("Hello, world!", "Привет, мир!", True),  # the sides are swapped
        ("Hello there", "Hello, world!", True),
        ("Привет, мир!", "Привет, миры!", True),
        ("中文", "Chinese", True),
        ("%d", "yes", True),
        ("OK", "O.K.", True),
        ("ок", "да", True),
        ("я x", "I", False),
        # half of the letters are enough, here 16 of them
        ("слова и буквы как some letters of the word", "words", False),
        ("слово so that some letters of the word", "words", True),
        ("слова", "the quick fox и ещё много русских слов подряд", True),
    ],
)
def test_a_side_in_another_script_is_dropped(src: str, tgt: str, expected: bool) -> None:
    assert says("wrong_script", src, tgt, min_script_share=0.35) is expected
    assert not says("wrong_script", src, tgt, min_script_share=0)


@pytest.mark.parametrize(
    "src",
    [
        "Пакет linux-image-amd64/stable",
        "endw без while",
        "IBAN и BIC",
        "Опция: Package::Manager::Default-Sorting",
        "Крещён(а) %(baptism_date)s%(endnotes)s.",
        "Схема Microsoft Visio XML (*.vdx)",
        "от {the quick actor of this file}",
        "Опции [the quick actor of this file]",
    ],
)
def test_names_and_code_in_another_script_are_excused(src: str) -> None:
    assert not says("wrong_script", src, "something", min_script_share=0.5)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("uk", "Ґанок і їжак"),
        ("cv", "Шупашкар хули"),
        ("el", "Καλημέρα κόσμε"),
        ("he", "שָׁלוֹם עולם"),
        ("ar", "مَرْحَبًا"),
        ("hi", "नमस्ते दुनिया"),
        ("th", "สวัสดีชาวโลก"),
        ("ka", "გამარჯობა"),
        ("hy", "Բարեւ աշխարհ"),
        ("ja", "東京タワーへ"),
        ("ko", "안녕하세요"),
        ("zh-Hant", "你好，世界 𠀀"),
        ("sr", "Добар дан"),
        ("sr-Latn", "Dobar dan"),
        ("vi", "Tiếng Việt"),
        ("tlh", "tlhIngan Hol"),  # a language that the table does not know
    ],
)
def test_each_language_is_at_home_in_its_own_script(language: str, text: str) -> None:
    own, other = Side([text], language).letters
    assert (own[0] >= 4, other[0]) == (True, 0)
    settings = {"src_lang": language, "tgt_lang": "en"}
    assert not says("wrong_script", text, "Hello", min_script_share=1, **settings)


@pytest.mark.parametrize("language", ["ru", "el", "ja", "hi", "sr-Cyrl", "zh_Hans", "ba", "wuu"])
def test_english_is_foreign_where_another_script_is_written(language: str) -> None:
    own, other = Side(["Hello"], language).letters
    assert (own[0], other[0]) == (0, 5)


def test_every_script_that_a_language_has_has_its_letters() -> None:
    assert set(BLOCKS) == set(LANGUAGES)
    for script, ranges in BLOCKS.items():
        points = (chr(point) for start, stop in ranges for point in range(start, stop + 1))
        assert script in set(map(script_of, points))


@pytest.mark.parametrize(("language", "spaced"), [("ru", 1), ("ko", 1), ("ja", 0), ("th", 0)])
def test_it_is_known_which_languages_divide_words(language: str, spaced: int) -> None:
    assert has_spaces(language) is bool(spaced)


@pytest.mark.parametrize(
    ("text", "own", "other"),
    [
        ("", 0, 0),
        ("Ёжик", 4, 0),
        ("naïve Ærø", 0, 8),
        ("і ї є ґ ў", 5, 0),
        ("абв abc 123 — №", 3, 3),
        ("αβγ 中文 ªº", 0, 5),
        ("аа AA", 2, 2),
        ("ⴰⵣⵓⵍ", 0, 4),  # a script that no language of the table has
    ],
)
def test_letters_are_counted_by_script(text: str, own: int, other: int) -> None:
    counts = Side(["до", text, ""], "ru").letters
    assert [count.tolist() for count in counts] == [[2, own, 0], [0, other, 0]]


def test_every_letter_has_one_class_and_nothing_else_is_a_letter() -> None:
    classes = tables().classes
    for point in range(0x30000):
        kind = unicodedata.category(chr(point))
        if kind[0] == "L" and chr(point) not in "ªº":
            assert classes[point] >= UNKNOWN_LETTER, hex(point)
        elif kind[0] != "M" and kind != "Cn":
            assert classes[point] < UNKNOWN_LETTER, hex(point)


def test_blocks_of_scripts_do_not_overlap() -> None:
    spans = sorted((start, stop) for ranges in BLOCKS.values() for start, stop in ranges)
    assert all(stop < start for (_, stop), (start, _) in pairwise(spans))
    assert script_class("LATIN") == FIRST_SCRIPT


def test_a_text_without_a_translation_is_judged_alone() -> None:
    settings: dict[str, Any] = {"src_lang": "en"}
    assert says("wrong_script", "Привет, мир", None, **settings)
    assert not says("wrong_script", "Hello, world", None, **settings)
