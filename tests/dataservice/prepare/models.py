"""Options of sentencepiece → small models, of the make that a memo of words needs and of others."""

import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import sentencepiece

from dataservice.demo.corpus import demo_pairs
from dataservice.prepare.tokenizer import parse_model, train_tokenizer
from dataservice.settings import BuildSettings

TAGS = ("<author>", "<city>", "<year>", "<author_X>", "<author_Анна_К>", "<city_Омск>")


def demo_sentences(num_pairs: int) -> Iterator[str]:
    for pair in demo_pairs(num_pairs):
        yield pair.ru
        yield pair.en


@cache
def demo_model(vocab_size: int = 3000) -> bytes:
    """As a build trains it."""
    settings = BuildSettings(vocab_size=vocab_size)
    return train_tokenizer(demo_sentences(4000), TAGS, settings)


@cache
def large_model() -> bytes:
    """A model whose ids need 32 bits: pieces that no text has stand before the bytes."""
    proto = parse_model(demo_model(1000))
    kept = [type(piece)() for piece in proto.pieces]
    for copy, piece in zip(kept, proto.pieces, strict=True):
        copy.CopyFrom(piece)
    first_byte = next(number for number, piece in enumerate(kept) if piece.piece == "<0x00>")
    del proto.pieces[first_byte:]
    for number in range(70_000):
        proto.pieces.add(piece=f"\u2581\ue000{number}", score=-1e6)
    proto.pieces.extend(kept[first_byte:])
    data: bytes = proto.SerializeToString()
    return data


@cache
def other_model(**options: Any) -> bytes:
    """Of the usual make but for the options given."""
    model = io.BytesIO()
    usual: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 500,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "hard_vocab_limit": False,
        "pad_id": 3,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=demo_sentences(400), model_writer=model, **(usual | options)
    )
    return model.getvalue()
