"""Texts of every kind → a memo of words gives sentencepiece's own ids, and stays within bounds."""

import itertools
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataservice.prepare.memo.guard import WORD_MARK, why_unsuitable
from dataservice.prepare.memo.memo import MAX_WORD_CHARS, WordMemo
from dataservice.prepare.tokenizer import load_tokenizer, parse_model
from tests.dataservice.prepare.lines import lines_of
from tests.dataservice.prepare.models import (
    TAGS,
    demo_model,
    demo_sentences,
    large_model,
    other_model,
)

MODELS: dict[str, Callable[[], bytes]] = {
    "1k": lambda: demo_model(1000),
    "3k": lambda: demo_model(3000),
    "32 bits": large_model,
}


@cache
def memo(name: str, max_words: int = 1 << 16) -> WordMemo:
    """One that earlier examples have filled, as it is in use."""
    return WordMemo.for_model(MODELS[name](), max_words=max_words)


def assert_same(memo: WordMemo, texts: Sequence[str]) -> None:
    expected = memo.tokenizer.encode(list(texts))
    ids, lengths = memo.encode(texts)
    assert lengths.tolist() == [len(one) for one in expected]
    assert ids.tolist() == list(itertools.chain.from_iterable(expected))
    rows = [row for row, text in enumerate(texts) if "\n" not in text]
    ids, lengths = memo.encode_lines(lines_of([texts[row] for row in rows]))
    assert lengths.tolist() == [len(expected[row]) for row in rows]
    assert ids.tolist() == [one for row in rows for one in expected[row]]


STRANGE = [
    *("", " ", "  ", "\u2581", "a\u2581b", "\u2581\u2581", "\t", "\n", "\r\n", "\0", "a\0", "\x85"),
    *("\xa0", "\u2000", "\u2028", "\u3000", "\u200b", "\u200d", "\ufeff", "\ufffd", "\uffff"),
    *("<author_X>", "<author>", "<author_X", "<city_Омск>,", "x<author_X>y<year>", "<to_ru>"),
    *("<pad>", "<unk>", "<s>", "</s>", "<bos>", "<eos>", "<0x41>", "<0x00>", "⁇", "▅"),
    *(
        "🙂",
        "👍🏽",
        "🇷🇺",
        "\U0010ffff",
        "\U0001f600" * 9,
        "漢字",
        "العربية",
        "e\u0301",
        "\u0301",
        "й",
    ),
    *("x" * 15, "x" * 16, "x" * 17, "я" * 16, "я" * 17, "Ё" * 64, "Ё" * 65, "ab" * 3000),
    *("код", "файл.", "«Да»", "—", "№5", "the", "model", "don't", "2025", "1,000.50", "C++"),
]
words = st.sampled_from(STRANGE) | st.text(max_size=20)
texts = st.lists(words, max_size=12).map(" ".join) | st.text(max_size=60)


@pytest.mark.parametrize("name", MODELS)
@given(batch=st.lists(texts, max_size=8))
@example(batch=[])
@example(batch=[""])
@example(batch=["", "", ""])
@example(batch=[" ".join(STRANGE), *STRANGE])
@example(batch=["".join(STRANGE)])
def test_ids_are_those_of_sentencepiece(name: str, batch: list[str]) -> None:
    assert_same(memo(name), batch)


@given(batch=st.lists(texts, max_size=8))
def test_a_memo_that_is_full_gives_the_same_ids(batch: list[str]) -> None:
    small = memo("3k", 40)
    assert_same(small, batch)
    assert small.num_words <= 40


@given(text=st.text(st.characters(codec=None), min_size=1))
@example(text="a\ud800b")
def test_what_sentencepiece_refuses_is_refused_alike(text: str) -> None:
    batch = ["новый код", text]
    try:
        memo("3k").tokenizer.encode(batch)
    except TypeError as error:
        with pytest.raises(TypeError, match=str(error)):
            memo("3k").encode(batch)
    else:
        assert_same(memo("3k"), batch)


@pytest.mark.parametrize("name", ["1k", "3k"])
def test_ids_of_the_demo_corpus_are_those_of_sentencepiece_cold_and_warm(name: str) -> None:
    fresh = WordMemo.for_model(MODELS[name](), max_words=1 << 16)
    sentences = list(demo_sentences(3000))
    assert_same(fresh, sentences)
    known = fresh.num_words
    assert known > 1000
    assert_same(fresh, sentences[::-1])
    assert fresh.num_words == known


def test_texts_longer_than_a_piece_of_work_are_encoded_whole() -> None:
    sentences = list(demo_sentences(2000))
    assert_same(memo("3k"), [" ".join(sentences), *sentences[:3], " ".join(sentences[::-1]), ""])


@pytest.mark.slow
@pytest.mark.parametrize("plane", range(17))
def test_every_character_beside_a_space_gives_the_same_ids(plane: int) -> None:
    chars = [chr(point) for point in range(plane << 16, (plane + 1) << 16)]
    chars = [char for char in chars if not "\ud800" <= char <= "\udfff"]
    assert ord(chars[-1]) <= sys.maxunicode
    for form in ("{} b", "a {} b", "x{0} {0}y", "a {0}{0}"):
        assert_same(memo("3k", 1000), [form.format(char) for char in chars])


@pytest.mark.slow
def test_marks_beside_letters_give_the_same_ids() -> None:
    marks = [chr(point) for point in range(0x10000) if unicodedata.category(chr(point))[0] in "MCZ"]
    marks = [mark for mark in marks if not "\ud800" <= mark <= "\udfff"]
    assert_same(memo("1k", 1000), [f"{mark}код {mark} the{mark}" for mark in marks])


def test_ids_have_the_type_of_blocks() -> None:
    assert memo("3k").encode(["a"]).ids.dtype == np.uint16
    assert memo("32 bits").encode(["a"]).ids.dtype == np.uint32
    assert memo("32 bits").encode(["я"]).ids.max() > 2**16
    assert memo("3k").encode([]).ids.dtype == np.uint16


def test_a_word_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = WordMemo.for_model(demo_model(), max_words=100)
    asked: list[str] = []
    begin = fresh.tokenizer.piece_to_id(WORD_MARK)

    class Counting:
        def encode(self, text: str) -> list[int]:
            asked.extend(text.split(" "))
            return [id for word in text.split(" ") for id in (begin, *map(len, word))]

    monkeypatch.setattr(fresh, "tokenizer", Counting())
    for _ in range(2):
        ids = fresh.encode(["a bb a", "bb ccc 漢字"]).ids.tolist()
        assert ids == [
            id for size in (1, 2, 1, 2, 3, 2) for id in (begin, *itertools.repeat(1, size))
        ]
    assert sorted(asked) == sorted(["a", "bb", "ccc", "漢字"])


def test_words_that_begin_with_no_piece_of_their_own_are_told_apart() -> None:
    proto = parse_model(demo_model())
    (mark,) = (piece for piece in proto.pieces if piece.piece == WORD_MARK)
    mark.piece = "\U0001f600"  # so that the sign for a space is spelled in bytes
    fresh = WordMemo.for_model(proto.SerializeToString(), max_words=100)
    assert fresh.unsuitable is None
    assert_same(fresh, ["漢 漢 код 字", "новый 漢字", "字"])


def test_lines_are_encoded_by_a_model_that_remembers_no_words() -> None:
    plain = WordMemo.for_model(other_model(model_type="unigram"), max_words=1000)
    assert plain.unsuitable is not None
    assert_same(plain, ["новый код", "", f"a{WORD_MARK}b", "код " * 20_000 + "код", "漢", ""])


def test_neither_long_words_nor_more_than_the_limit_are_kept() -> None:
    fresh = WordMemo.for_model(demo_model(), max_words=20)
    assert_same(fresh, ["x" * (MAX_WORD_CHARS + 1), "漢" * (MAX_WORD_CHARS + 1)])
    assert fresh.num_words == 0
    assert_same(fresh, ["x" * MAX_WORD_CHARS, "漢" * MAX_WORD_CHARS])
    assert fresh.num_words == 2
    assert_same(fresh, [" ".join(f"w{number}" for number in range(500))])
    assert fresh.num_words == 20
    size = len(fresh.dump())
    for start in range(0, 3000, 100):
        assert_same(fresh, [f"v{number} 漢{number}" for number in range(start, start + 100)])
    assert (fresh.num_words, len(fresh.dump())) == (20, size)


def test_a_memo_of_no_words_still_encodes() -> None:
    empty = WordMemo.for_model(demo_model(), max_words=0)
    assert_same(empty, ["новый код", "новый код", ""])
    assert empty.num_words == 0


UNSUITABLE = [
    ({"model_type": "unigram"}, "not a BPE"),
    ({"model_type": "char"}, "not a BPE"),
    ({"byte_fallback": False}, "no byte fallback"),
    ({"add_dummy_prefix": False}, "no space before"),
    ({"remove_extra_whitespaces": False}, "several spaces"),
    ({"split_by_whitespace": False, "vocab_size": 1500}, "across a space"),
    ({"treat_whitespace_as_suffix": True}, "end with the sign"),
    ({"normalization_rule_name": "nmt_nfkc"}, "changes characters"),
    ({"normalization_rule_name": "nfkc_cf"}, "changes characters"),
    ({"user_defined_symbols": "<a b>,<c>"}, "across a space"),
    ({"user_defined_symbols": "\u2581new,<c>"}, "holds the sign"),
]


@pytest.mark.parametrize(("options", "why"), UNSUITABLE, ids=str)
def test_a_model_of_another_make_is_left_to_sentencepiece(
    options: dict[str, str | bool], why: str
) -> None:
    plain = WordMemo.for_model(other_model(**options), max_words=100)
    assert plain.unsuitable is not None
    assert why in plain.unsuitable
    assert_same(plain, [*demo_sentences(50), *STRANGE, " ".join(STRANGE), "<a b> \u2581new"])
    assert_same(plain, [])
    assert plain.num_words == 0


@pytest.mark.parametrize(
    "options",
    [
        {"split_by_unicode_script": False},
        {"split_by_number": False},
        {"split_digits": True},
        {"user_defined_symbols": ",".join(TAGS)},
        {"vocab_size": 700, "pad_id": -1},
    ],
    ids=str,
)
def test_what_does_not_matter_is_not_refused(options: dict[str, str | bool]) -> None:
    suitable = WordMemo.for_model(other_model(**options), max_words=100)
    assert suitable.unsuitable is None
    assert_same(suitable, [*demo_sentences(50), *STRANGE, " ".join(STRANGE)])
    assert suitable.num_words == 100


@pytest.mark.parametrize("option", ["add_dummy_prefix", "remove_extra_whitespaces"])
def test_a_model_that_is_not_what_it_says_is_found_by_trial(option: str) -> None:
    proto = parse_model(demo_model(1000))
    setattr(proto.normalizer_spec, option, False)
    other = load_tokenizer(proto.SerializeToString())
    pieces = other.id_to_piece(list(range(other.vocab_size())))
    why = why_unsuitable(parse_model(demo_model(1000)), other, pieces)
    assert why is not None
    assert "not those of its words" in why


@settings(max_examples=30)
@given(batch=st.lists(texts, max_size=4))
def test_ids_do_not_depend_on_what_was_encoded_before(batch: list[str]) -> None:
    fresh = WordMemo.for_model(demo_model(1000), max_words=10)
    first, again = fresh.encode(batch), memo("1k").encode(batch)
    assert first.ids.tolist() == again.ids.tolist()
