"""Sentences and tag symbols → a tokenizer that loses nothing and knows each tag as one id."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from dataservice.errors import BuildError
from dataservice.prepare.tags import choose_tag_symbols
from dataservice.prepare.text.clean import clean
from dataservice.prepare.tokenizer import (
    load_tokenizer,
    name_tags,
    parse_model,
    read_sample,
    save_sample,
    tag_ids_of,
    target_symbols,
    text_digest,
    tokenizer_key,
    train_nameless,
    train_tokenizer,
)
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
    for symbol in target_symbols(settings()).values():
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


def test_russian_and_english_have_the_symbols_that_earlier_versions_gave_them() -> None:
    assert target_symbols(settings()) == {"ru": "<to_ru>", "en": "<to_en>"}
    assert [tokenizer().id_to_piece(number) for number in (4, 5, 6)] == [
        "<to_ru>",
        "<to_en>",
        tag_symbols()[0],
    ]


@pytest.mark.parametrize(
    ("src_lang", "tgt_lang", "symbols"),
    [
        ("de", "pt-BR", ["<to_de>", "<to_pt-BR>"]),
        ("en", "ru", ["<to_en>", "<to_ru>"]),
        ("ru", "", ["<to_ru>"]),
    ],
)
def test_each_language_has_a_symbol_that_asks_for_it(
    src_lang: str, tgt_lang: str, symbols: list[str]
) -> None:
    chosen = settings(src_lang=src_lang, tgt_lang=tgt_lang)
    assert list(target_symbols(chosen).values()) == symbols
    trained = load_tokenizer(train_tokenizer(SENTENCES, tag_symbols(), chosen))
    ids = range(4, 4 + len(symbols))
    assert [trained.id_to_piece(number) for number in ids] == symbols
    assert all(trained.is_control(number) for number in ids)
    assert trained.id_to_piece(4 + len(symbols)) == tag_symbols()[0]


OTHER_NAMES = [f"<author_{name}>" for name in ("0", "1", "ё", "a.b-c+d", "читает", "x" * 48)]


def other_tags() -> tuple[str, ...]:
    """As many as there were, of quite other people; some are named as the placeholders are."""
    return (*tag_symbols()[: -len(OTHER_NAMES)], *OTHER_NAMES[::-1])


def test_the_names_of_tags_change_nothing_but_the_tags() -> None:
    other = train_tokenizer(SENTENCES, other_tags(), settings())
    assert other != model()
    assert list(tag_ids_of(other)) == list(other_tags())
    renamed = load_tokenizer(other)
    for sentence in SENTENCES:
        assert renamed.encode(sentence) == encode(sentence)
    pieces = [tokenizer().id_to_piece(number) for number in range(600)]
    changed = [n for n in range(600) if renamed.id_to_piece(n) != pieces[n]]
    assert {pieces[number] for number in changed} <= set(tag_symbols())
    assert list(parse_model(other).trainer_spec.user_defined_symbols) == list(other_tags())


def test_tags_can_be_named_again() -> None:
    other = name_tags(model(), other_tags())
    assert other == train_tokenizer(SENTENCES, other_tags(), settings())
    assert name_tags(other, tag_symbols()) == model()


def test_a_digest_tells_models_apart_by_how_they_encode_text_alone() -> None:
    nameless = train_nameless(SENTENCES, len(tag_symbols()), settings())
    other = train_tokenizer(SENTENCES, other_tags(), settings())
    assert text_digest(model()) == text_digest(other) == text_digest(nameless)
    fewer = train_tokenizer(SENTENCES[:-1], tag_symbols(), settings())
    larger = train_tokenizer(SENTENCES, tag_symbols(), settings(vocab_size=601))
    more_tags = train_tokenizer(SENTENCES, (*tag_symbols(), "<author_Y>"), settings())
    digests = {text_digest(one) for one in (model(), fewer, larger, more_tags)}
    assert len(digests) == 4


def test_a_symbol_that_is_no_tag_counts_as_text_in_a_digest() -> None:
    def with_symbol(symbol: str) -> bytes:
        proto = parse_model(model())
        proto.pieces.add(piece=symbol, type=4)
        data: bytes = proto.SerializeToString()
        return data

    assert text_digest(with_symbol("<a>")) != text_digest(with_symbol("<b>"))
    assert text_digest(with_symbol("<year_1>")) == text_digest(with_symbol("<city_1>"))


@given(st.lists(texts.map(clean), max_size=20))
def test_a_saved_sample_is_read_back(sentences: list[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sample"
        digest = save_sample(path, iter(sentences))
        assert list(read_sample(path)) == sentences
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_saved_sample_trains_the_same_model(tmp_path: Path) -> None:
    cleaned = [clean(sentence) for sentence in SENTENCES]
    save_sample(tmp_path / "sample", cleaned)
    trained = train_tokenizer(read_sample(tmp_path / "sample"), tag_symbols(), settings())
    assert trained == train_tokenizer(cleaned, tag_symbols(), settings())


def test_a_key_changes_with_all_that_changes_the_model_and_with_nothing_else() -> None:
    base = tokenizer_key("ab", 100, settings())
    assert base == tokenizer_key("ab", 100, settings(min_tags=7, max_tokens=9, name="other"))
    others = [
        tokenizer_key("ac", 100, settings()),
        tokenizer_key("ab", 101, settings()),
        tokenizer_key("ab", 100, settings(vocab_size=601)),
        tokenizer_key("ab", 100, settings(character_coverage=0.99)),
        tokenizer_key("ab", 100, settings(src_lang="de")),
        tokenizer_key("ab", 100, settings(src_lang="en", tgt_lang="ru")),
        tokenizer_key("ab", 100, settings(tgt_lang="")),
    ]
    assert len({base, *others}) == 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_ends_the_sentences_ends_the_training_as_it_is(error: type[BaseException]) -> None:
    def sentences() -> Iterator[str]:
        yield from SENTENCES[:100]
        raise error

    with pytest.raises(error):
        train_tokenizer(sentences(), tag_symbols(), settings())
