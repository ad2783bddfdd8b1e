"""Words → keys that differ when the words do, and a table that finds what was put into it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataservice.prepare.memo.words import Alphabet, Keys, WordTable

ALPHABET = Alphabet("абвгabc-.")
words = st.lists(st.text("абвгabc-.xя漢\U0001f600\n", max_size=40), max_size=30)


def keys_of(*pairs: tuple[int, int]) -> Keys:
    return np.array(pairs, np.uint64).reshape(-1, 2).T.copy()


@given(words)
def test_two_keys_are_equal_when_the_words_are(texts: list[str]) -> None:
    found = ALPHABET.words("".join(f"{text} " for text in texts))
    loose = {
        row for row, text in enumerate(texts) if len(text) > 16 or not set(text) <= set("абвгabc-.")
    }
    assert set(np.flatnonzero(found.is_loose).tolist()) == loose
    keys = [tuple(key) for key in found.keys.T.tolist()]
    assert all(keys[row] == (0, 0) for row in loose)
    by_word = {
        text: key
        for row, (text, key) in enumerate(zip(texts, keys, strict=True))
        if row not in loose
    }
    assert len(set(by_word.values())) == len(by_word)
    assert all(by_word[text] == keys[row] for row, text in enumerate(texts) if row not in loose)


@given(words)
def test_bounds_are_those_of_the_words_in_characters(texts: list[str]) -> None:
    joined = "".join(f"{text} " for text in texts)
    found = ALPHABET.words(joined)
    bounds = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    assert [joined[start:end] for start, end in bounds] == texts


@pytest.mark.parametrize("text", ["ab ab", "аб аб", "аб 漢 ab", "\U0001f600 ab аб"])
def test_a_word_has_one_key_whatever_stands_around_it(text: str) -> None:
    keys = {
        tuple(ALPHABET.words(f"{around}ab аб ").keys[:, -2:].ravel().tolist())
        for around in ("", f"{text} ")
    }
    assert len(keys) == 1


def test_an_alphabet_larger_than_a_byte_leaves_characters_without_a_code() -> None:
    many = [chr(point) for point in range(0x4E00, 0x4E00 + 300)]
    found = Alphabet(many).words("".join(f"{char} " for char in many))
    assert np.flatnonzero(found.is_loose).tolist() == list(range(254, 300))
    assert len(set(found.keys[0, :254].tolist())) == 254


def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        ALPHABET.words("a\ud800 ")


@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 5)), unique=True, max_size=200),
    st.integers(1, 50),
)
def test_a_table_finds_what_it_holds_and_nothing_else(
    pairs: list[tuple[int, int]], step: int
) -> None:
    table = WordTable()
    half = len(pairs) // 2
    for start in range(0, half, step):
        rows = range(start, min(start + step, half))
        values = np.array([row + 1 for row in rows], np.uint64)
        table.insert(keys_of(*(pairs[row] for row in rows)), values)
    found = table.find(keys_of(*pairs)).tolist()
    assert found == [row + 1 for row in range(half)] + [0] * (len(pairs) - half)
    keys, values = table.items()
    assert sorted(zip(values.tolist(), map(tuple, keys.T.tolist()), strict=True)) == [
        (row + 1, pairs[row]) for row in range(half)
    ]


def test_a_table_grows_and_keeps_apart_keys_that_want_one_place() -> None:
    table = WordTable()
    keys = keys_of(*((0, 0),), *((1 << bit, low) for bit in range(40) for low in range(500)))
    values = np.arange(1, keys.shape[1] + 1).astype(np.uint64)
    for start in range(0, len(values), 3000):
        table.insert(keys[:, start : start + 3000], values[start : start + 3000])
    assert table.num_keys == len(values)
    assert np.array_equal(table.find(keys), values)
    assert not table.find(keys + np.uint64(1 << 50)).any()
