"""Texts → keys: equal for what folds alike, and for nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataservice.prepare.text import keys as keys_module
from dataservice.prepare.text.keys import combine, first_of_each, fold_keys, in_sorted, mix
from dataservice.prepare.text.points import CodePoints
from tests.dataservice.prepare.builds import text_key

KNOWN = [
    12035550249420947055,
    6532854612019496965,
    14157890796494217002,
    14869548212260982521,
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Да.", "да"),
        ("«Да!» — сказал он…", "да сказал он"),
        ("ЁЖ", "ёж"),
        ("a_b", "A-B"),
        ("two  words", "Two, words!"),
        ("Page 1 of 10", "page 22 of 3"),
        ("٣ files", "15 files"),
        ("ΣΟΦΟΣ", "σοφος"),
    ],
)
def test_case_signs_spaces_and_digits_make_no_other_sentence(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("да", "нет"),
        ("1", "a"),
        ("!", "?"),
        ("", "!"),
        ("…", "..."),
        ("еж", "ёж"),
        ("a b", "b a"),
        ("ab", "ba"),
        ("aab", "aba"),
        ("कि", "का"),
        ("a", "а"),
    ],
)
def test_other_words_are_another_sentence(one: str, other: str) -> None:
    assert text_key(one) != text_key(other)


NUMBERED = st.text("1٣ aб.", max_size=6)


@given(st.lists(TEXTS | NUMBERED, max_size=20))
@example(["a 1", "2 b", "3", "", "4 c"])
def test_a_key_does_not_depend_on_the_texts_around(texts: list[str]) -> None:
    assert fold_keys(CodePoints.of(texts)).tolist() == [text_key(text) for text in texts]


def test_keys_are_the_same_however_the_texts_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"предложение {'и' * (number % 50)} слово{number}" for number in range(300)]
    texts[7] = "…" * 40
    whole = fold_keys(CodePoints.of(texts)).tolist()
    monkeypatch.setattr(keys_module, "_SLICE", 64)
    assert fold_keys(CodePoints.of(texts)).tolist() == whole


def test_short_texts_of_few_letters_do_not_share_a_key() -> None:
    texts = ["".join(chars) for n in range(1, 8) for chars in itertools.product("abcд", repeat=n)]
    assert len(set(fold_keys(CodePoints.of(texts)).tolist())) == len(texts)


def test_keys_are_spread_over_all_64_bits() -> None:
    found = fold_keys(
        CodePoints.of([f"слово {'а' * n} {chr(0x430 + n % 32)}" for n in range(4000)])
    )
    for bit in range(64):
        share = np.count_nonzero(found >> np.uint64(bit) & np.uint64(1)) / len(found)
        assert share == pytest.approx(0.5, abs=0.05)


def test_known_keys_are_what_they_were() -> None:
    # a change here changes the split, the order and the version id of every data set
    found = [text_key(text) for text in ("", "Да.", "…", "Hello, world 42")]
    assert found == KNOWN


def test_a_pair_of_keys_is_told_from_the_other_way_round() -> None:
    one, other = fold_keys(CodePoints.of(["да"])), fold_keys(CodePoints.of(["yes"]))
    assert combine(one, other).tolist() == combine(one, other).tolist()
    assert combine(one, other).tolist() != combine(other, one).tolist()


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=30))
def test_mixing_loses_nothing(values: list[int]) -> None:
    assert len(set(mix(np.array(values, np.uint64)).tolist())) == len(values)


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_what_is_found_in_a_sorted_array_is_in_it(values: list[int], known: list[int]) -> None:
    found = in_sorted(np.array(values, np.uint64), np.unique(np.array(known, np.uint64)))
    assert found.tolist() == [value in known for value in values]


@given(st.lists(st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)))
def test_the_first_of_equal_values_is_found_wherever_they_stand(values: list[int]) -> None:
    found = first_of_each(np.array(values, np.uint64))
    assert found.tolist() == [values.index(value) for value in values]
