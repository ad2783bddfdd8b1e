"""Sentences and tag symbols → a tokenizer that loses nothing and knows each tag as one id."""

import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from dataservice.errors import BuildError
from dataservice.prepare.clean import clean
from dataservice.prepare.tags import choose_tag_symbols
from dataservice.prepare.tokenizer import TARGET_SYMBOLS, load_tokenizer, train_tokenizer
from dataservice.settings import BuildSettings
from shards.sample import BOS, EOS, PAD, TAG_KINDS, UNK
from tests.corpus import make_pairs

SENTENCES = [text for pair in make_pairs(400) for text in (pair["ru"], pair["en"])]
SENTENCES += ["«Да» — нет… №5", "abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"]


def settings(**values: Any) -> BuildSettings:
    return BuildSettings.model_validate({"vocab_size": 600, **values})


def tag_symbols(**values: Any) -> tuple[str, ...]:
    names = {"author": Counter({"Анна_К": 3}), "city": Counter({"Омск": 2}), "year": Counter()}
    assert set(names) == set(TAG_KINDS)
    return choose_tag_symbols(names, settings(**values))


@cache
def model() -> bytes:
    return train_tokenizer(SENTENCES, tag_symbols(), settings())


@cache
def tokenizer() -> sentencepiece.SentencePieceProcessor:
    return load_tokenizer(model())


def encode(text: str) -> list[int]:
    ids: list[int] = tokenizer().encode(text)
    return ids


def test_the_vocabulary_has_the_size_asked_for() -> None:
    assert tokenizer().vocab_size() == 600


def test_special_symbols_have_their_places() -> None:
    assert [tokenizer().id_to_piece(number) for number in range(4)] == [PAD, UNK, BOS, EOS]
    assert (tokenizer().pad_id(), tokenizer().unk_id()) == (0, 1)
    assert (tokenizer().bos_id(), tokenizer().eos_id()) == (2, 3)
    for symbol in TARGET_SYMBOLS.values():
        assert tokenizer().is_control(tokenizer().piece_to_id(symbol))


def test_each_tag_is_one_entry_of_the_vocabulary() -> None:
    ids = [tokenizer().piece_to_id(symbol) for symbol in tag_symbols()]
    assert len(ids) >= 100
    assert len(set(ids)) == len(ids)
    assert tokenizer().unk_id() not in ids
    assert [tokenizer().id_to_piece(number) for number in ids] == list(tag_symbols())


@pytest.mark.parametrize("symbol", ["<author_Анна_К>", "<city_Омск>", "<year_2025>", "<author>"])
def test_a_tag_in_a_text_is_a_single_id(symbol: str) -> None:
    ids = encode(f"{symbol} новый код")
    assert ids.count(tokenizer().piece_to_id(symbol)) == 1
    assert tokenizer().decode(encode(symbol)).strip() == symbol


def test_ids_of_a_tagged_text_are_those_of_the_tags_and_of_the_text() -> None:
    symbols = ("<author_Анна_К>", "<city_Омск>", "<year_2025>")
    tags = [tokenizer().piece_to_id(symbol) for symbol in symbols]
    text = "новый код читает 5 файл."
    together = encode(f"{' '.join(symbols)} {text}")
    assert [number for number in together if number in tags] == tags
    space = tokenizer().piece_to_id("\u2581")
    assert [number for number in together if number != space] == tags + encode(text)


LOOK_ALIKES = [
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "<bos>",
    "<to_en>",
    "<0x41>",
    "⁇",
    "🙂",
    "👍🏽",
    "Ё",
    "ё",
    "№",
    "<author_X>",
    "▁",
]
texts = st.text(max_size=60) | st.lists(st.sampled_from(LOOK_ALIKES), max_size=8).map(" ".join)


@given(texts)
@example("🙂🇷🇺 смайлик")
@example("<pad><unk><bos><eos><to_ru><to_en>")
@example("<0x0A><0x41>")
@example("漢字 العربية \U0010fffd")
@example("<author_Анна_К> <year_2025>")
def test_decoding_gives_back_what_was_encoded(text: str) -> None:
    cleaned = clean(text)
    ids = encode(cleaned)
    assert tokenizer().decode(ids) == cleaned
    assert tokenizer().unk_id() not in ids
    special = {tokenizer().piece_to_id(symbol) for symbol in tag_symbols()} | set(range(6))
    assert not special & set(ids)


def test_the_same_sentences_give_the_same_bytes() -> None:
    assert train_tokenizer(iter(SENTENCES), tag_symbols(), settings()) == model()
    assert train_tokenizer(SENTENCES[:-1], tag_symbols(), settings()) != model()


def limit(message: str) -> int:
    found = re.search(r"--vocab-size (?:to|well above) (\d+)", message)
    assert found, message
    return int(found[1])


def test_a_vocabulary_too_large_names_the_limit_and_the_limit_works() -> None:
    with pytest.raises(BuildError, match="does not fit the text; nothing was published") as caught:
        train_tokenizer(SENTENCES, tag_symbols(), settings(vocab_size=50_000))
    largest = limit(str(caught.value))
    assert 600 < largest < 50_000
    at_limit = train_tokenizer(SENTENCES, tag_symbols(), settings(vocab_size=largest))
    assert load_tokenizer(at_limit).vocab_size() == largest
    with pytest.raises(BuildError, match=f"to {largest} or less"):
        train_tokenizer(SENTENCES, tag_symbols(), settings(vocab_size=largest + 1))


def test_a_vocabulary_too_small_names_the_limit_and_the_limit_works() -> None:
    with pytest.raises(BuildError, match="does not fit the text; nothing was published") as caught:
        train_tokenizer(SENTENCES, tag_symbols(min_tags=150), settings(vocab_size=420))
    smallest = limit(str(caught.value))
    assert smallest > 420
    above = train_tokenizer(SENTENCES, tag_symbols(min_tags=150), settings(vocab_size=smallest + 1))
    assert load_tokenizer(above).vocab_size() == smallest + 1


def test_no_text_at_all_is_a_build_error() -> None:
    with pytest.raises(BuildError):
        train_tokenizer([], tag_symbols(), settings())
