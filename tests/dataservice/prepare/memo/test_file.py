"""A memo of words → bytes → the same memo; what is damaged or another model's is not believed."""

import hashlib
import itertools
import json
import random
from collections.abc import Callable

import pytest
import sentencepiece

from dataservice.prepare.memo.file import MemoError
from dataservice.prepare.memo.memo import WordMemo
from tests.dataservice.prepare.models import demo_model, demo_sentences, large_model, other_model

SENTENCES = [*demo_sentences(300), "漢字 \0 x" + "y" * 20, "漢字 👍🏽 a\nb", " "]


def filled(model: bytes, max_words: int = 1 << 16) -> WordMemo:
    memo = WordMemo.for_model(model, max_words=max_words)
    memo.encode(SENTENCES)
    return memo


class Silent:
    """A tokenizer that knows nothing, so all ids come from what was saved."""

    def encode(self, words: list[str]) -> list[list[int]]:
        raise AssertionError(f"{words} were asked for")


def expected(memo: WordMemo) -> list[int]:
    return list(itertools.chain.from_iterable(memo.tokenizer.encode(SENTENCES)))


@pytest.mark.parametrize("model", [demo_model, large_model], ids=["16 bits", "32 bits"])
def test_a_saved_memo_knows_what_it_knew(
    model: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = filled(model())
    loaded = WordMemo.load(model(), memo.dump(), max_words=1 << 16)
    assert loaded.num_words == memo.num_words
    assert loaded.dump() == memo.dump()
    monkeypatch.setattr(loaded, "tokenizer", Silent())
    assert loaded.encode(SENTENCES).ids.tolist() == expected(memo)


def test_a_memo_that_was_loaded_learns_on(monkeypatch: pytest.MonkeyPatch) -> None:
    memo = filled(demo_model())
    loaded = WordMemo.load(demo_model(), memo.dump(), max_words=1 << 16)
    more = ["совсем новыеслова", "漢漢 unseenword"]
    assert loaded.encode(more).ids.tolist() == memo.encode(more).ids.tolist()
    assert loaded.num_words == memo.num_words
    again = WordMemo.load(demo_model(), loaded.dump(), max_words=1 << 16)
    monkeypatch.setattr(again, "tokenizer", Silent())
    assert again.encode(more).ids.tolist() == memo.encode(more).ids.tolist()


@pytest.mark.parametrize("limit", [0, 1, 7, 300])
def test_no_more_words_are_loaded_than_the_memo_may_hold(limit: int) -> None:
    memo = filled(demo_model())
    loaded = WordMemo.load(demo_model(), memo.dump(), max_words=limit)
    assert loaded.num_words == limit
    assert loaded.encode(SENTENCES).ids.tolist() == expected(memo)
    assert loaded.num_words == limit


def test_an_empty_memo_and_that_of_another_make_are_saved_too() -> None:
    empty = WordMemo.for_model(demo_model(), max_words=10)
    assert WordMemo.load(demo_model(), empty.dump(), max_words=10).num_words == 0
    other = other_model(model_type="unigram")
    plain = WordMemo.load(other, filled(other).dump(), max_words=10)
    assert plain.encode(SENTENCES).ids.tolist() == expected(plain)


def test_any_changed_byte_is_found() -> None:
    data = filled(demo_model(1000), 60).dump()
    chosen = random.Random(0)
    for _ in range(300):
        place = chosen.randrange(len(data))
        damaged = bytearray(data)
        damaged[place] ^= 1 << chosen.randrange(8)
        with pytest.raises(MemoError, match="damaged; nothing is lost"):
            WordMemo.load(demo_model(1000), bytes(damaged), max_words=60)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 100, -1])
def test_a_cut_memo_is_found(size: int) -> None:
    data = filled(demo_model(1000), 60).dump()[:size]
    with pytest.raises(MemoError):
        WordMemo.load(demo_model(1000), data, max_words=60)


def signed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def with_header(**changes: object) -> bytes:
    line, rest = filled(demo_model(1000), 60).dump()[:-32].split(b"\n", 1)
    return signed(json.dumps(json.loads(line) | changes).encode() + b"\n" + rest)


def test_a_memo_of_another_model_is_refused() -> None:
    with pytest.raises(MemoError, match=r"its model_sha256 is \w+, not \w+; nothing is lost"):
        WordMemo.load(demo_model(), filled(demo_model(1000)).dump(), max_words=60)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (lambda: with_header(format=2), "its format is 2, not 1"),
        (lambda: with_header(sentencepiece="0.1"), f"not {sentencepiece.__version__}"),
        (lambda: with_header(words=59), "it is none"),
        (lambda: with_header(words=10**18), "it is none"),
        (lambda: with_header(keys=-1), "it is none"),
        (lambda: with_header(ids=1), "it is none"),
        (lambda: with_header(ids=None), "it is none"),
        (lambda: with_header(id_bytes=3), "it is none"),
        (lambda: with_header(loose_bytes=1), "it is none"),
        (lambda: signed(b""), "it is none"),
        (lambda: signed(b"\n"), "it is none"),
        (lambda: signed(b"[]\n"), "it is none"),
        (lambda: signed(b"{}\n"), "it is none"),
        (lambda: signed(b"[" * 5000 + b"\n"), "it is none"),
    ],
)
def test_what_does_not_fit_together_is_refused(data: Callable[[], bytes], why: str) -> None:
    with pytest.raises(MemoError, match=why):
        WordMemo.load(demo_model(1000), data(), max_words=60)
