"""A real corpus, two vocabulary sizes → every id that sentencepiece gives, cold, warm, saved."""

import gzip
import itertools
import json
import os
from functools import cache
from pathlib import Path

import pytest
import zstandard

from dataservice.prepare.memo.memo import WordMemo
from dataservice.prepare.text.clean import clean
from dataservice.prepare.tokenizer import text_digest, train_tokenizer
from dataservice.settings import BuildSettings
from tests.dataservice.prepare.models import TAGS

CORPUS = os.environ.get("PROMETHEUS_CORPUS")
BATCH = 8192

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CORPUS is None, reason="needs a real RU/EN corpus: PROMETHEUS_CORPUS=FILE"),
]


def lines(path: Path) -> list[str]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    elif path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode().strip("\n").split("\n")


@cache
def dirty_texts() -> list[str]:
    """All Russian texts, then all English ones, as they are."""
    assert CORPUS is not None
    pairs = [json.loads(line) for line in lines(Path(CORPUS))]
    return [pair["ru"] for pair in pairs] + [pair["en"] for pair in pairs]


@cache
def clean_texts() -> list[str]:
    return [clean(text) for text in dirty_texts()]


@cache
def model(vocab_size: int) -> bytes:
    texts = clean_texts()[:: max(1, len(clean_texts()) // 200_000)]
    return train_tokenizer(texts, TAGS, BuildSettings(vocab_size=vocab_size))


def assert_same(memo: WordMemo, texts: list[str]) -> None:
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        expected = memo.tokenizer.encode(batch)
        ids, lengths = memo.encode(batch)
        assert lengths.tolist() == [len(one) for one in expected]
        assert ids.tolist() == list(itertools.chain.from_iterable(expected))


@pytest.mark.parametrize("vocab_size", [3000, 32_000])
def test_every_text_has_the_ids_that_sentencepiece_gives_it(vocab_size: int) -> None:
    memo = WordMemo.for_model(model(vocab_size), max_words=1 << 20)
    assert memo.unsuitable is None
    assert_same(memo, clean_texts())
    assert_same(memo, clean_texts()[::-1])
    saved = memo.dump()
    assert_same(WordMemo.load(model(vocab_size), saved, max_words=1 << 20), clean_texts())
    assert_same(WordMemo.load(model(vocab_size), saved, max_words=20_000), clean_texts())


@pytest.mark.parametrize("vocab_size", [3000, 32_000])
def test_text_that_is_not_clean_has_them_too(vocab_size: int) -> None:
    memo = WordMemo.for_model(model(vocab_size), max_words=1 << 20)
    assert_same(memo, dirty_texts())
    spaced = [text.replace(" ", "  ").replace(",", " \u2581 ") for text in dirty_texts()[::10]]
    assert_same(memo, spaced)
    assert_same(memo, ["".join(spaced[start : start + 500]) for start in range(0, 5000, 500)])


def test_the_names_of_tags_change_no_id_of_a_text() -> None:
    other = train_tokenizer(
        clean_texts()[:50_000], [f"<author_{n}>" for n in range(6)], BuildSettings()
    )
    same = train_tokenizer(clean_texts()[:50_000], TAGS, BuildSettings())
    assert text_digest(other) == text_digest(same)
    texts = clean_texts()[:50_000]
    first = WordMemo.for_model(other, max_words=1 << 20).encode(texts)
    second = WordMemo.for_model(same, max_words=1 << 20).encode(texts)
    assert first.ids.tolist() == second.ids.tolist()
