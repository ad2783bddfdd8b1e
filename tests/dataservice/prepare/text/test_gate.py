"""Texts → those that cleaning may change: none that it does change is passed over."""

import unicodedata

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import example, given
from hypothesis import strategies as st

from dataservice.prepare.text.clean import clean, may_be_markup, may_be_mojibake, strip_markup
from dataservice.prepare.text.gate import clean_all, doubtful
from dataservice.prepare.text.points import CodePoints
from tests.real_corpus import corpus_texts, needs_corpus

NASTY = "& amp; &lt; < > <b> <author_x> Â Ã Ð Ñ РС в€ вЂ «№« ГўВЂВ œ ° é й ё е ё 각 각 क़ ै"
pieces = st.sampled_from(
    [*NASTY.split(" "), *NASTY, " ", "  ", "\u200b", "\u0306", "\u2581", "\x00"]
)
texts = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.lists(pieces, max_size=12).map("".join)
    | st.text("ВГРСвЂаб«»“”„‘•©™ΒΓΞΟ€№ abc.", max_size=12)
)


def doubted(some: list[str]) -> set[int]:
    """Rows that are looked at, for whatever reason."""
    return {row for rows in doubtful(CodePoints.of(some)) for row in rows.tolist()}


@given(st.lists(texts, max_size=8))
@example(["а ", " б", "", "в"])
@example(["ВР«", "»РС"])
def test_all_at_once_are_cleaned_as_one_by_one(some: list[str]) -> None:
    cleaned, points, changed = clean_all(some)
    assert cleaned == [clean(text) for text in some]
    assert changed == [row for row, text in enumerate(some) if clean(text) != text]
    expected = CodePoints.of(cleaned)
    assert points.starts.tolist() == expected.starts.tolist()
    assert points.points.tolist() == expected.points.tolist()


@given(texts)
def test_what_ftfy_calls_bad_may_be_mojibake(text: str) -> None:
    assert may_be_mojibake(text) or not is_bad(text)


@given(texts)
def test_what_may_be_no_markup_is_left_alone_by_stripping_it(text: str) -> None:
    assert may_be_markup(text) or strip_markup(text) == text


@given(texts)
def test_what_may_be_no_mojibake_is_left_alone_by_ftfy(text: str) -> None:
    assert may_be_mojibake(text) or ftfy.fix_encoding(text) == text


def test_no_code_point_that_cleaning_changes_is_passed_over() -> None:
    chars = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    passed = set(range(len(chars))) - doubted(chars)
    assert len(passed) > 40_000
    assert [chars[row] for row in sorted(passed) if clean(chars[row]) != chars[row]] == []


def test_no_code_point_that_joins_a_letter_before_it_is_passed_over() -> None:
    seconds = {
        parts[1]
        for point in range(0x110000)
        if len(parts := unicodedata.normalize("NFD", chr(point))) == 2
    }
    rows = [f"а{char}" for char in sorted(seconds)]
    assert doubted(rows) == set(range(len(rows)))


def test_marks_that_have_an_order_of_their_own_are_not_passed_over() -> None:
    marks = [chr(point) for point in range(0x110000) if unicodedata.combining(chr(point))]
    assert len(marks) > 800
    assert doubted(marks) == set(range(len(marks)))


@pytest.mark.parametrize(
    "text",
    ["Съешь же ещё этих мягких булок.", "«Да» — сказал он…", "A “quoted” word, 50 % off", "日本語"],
)
def test_ordinary_texts_are_not_doubted(text: str) -> None:
    assert doubted([text]) == set()


@pytest.mark.slow
@needs_corpus[0]
@needs_corpus[1]
def test_the_real_corpus_is_cleaned_as_one_by_one() -> None:
    for side in corpus_texts():
        assert clean_all(side)[0] == [clean(text) for text in side]
