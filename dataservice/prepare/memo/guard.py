"""A SentencePiece model → why the ids of its words are not those of its texts, or None."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as sentencepiece_proto

WORD_MARK: Final = "\u2581"  # sentencepiece's own sign for a space
_BPE: Final = sentencepiece_proto.TrainerSpec.BPE
_USER_DEFINED: Final = sentencepiece_proto.ModelProto.SentencePiece.USER_DEFINED
_NUM_PROBES: Final = 64
_Pieces = list[tuple[str, int]]  # text and kind of each


def why_unsuitable(
    proto: Any, tokenizer: sentencepiece.SentencePieceProcessor, texts: Sequence[str]
) -> str | None:
    """The first thing about a model because of which words cannot be encoded one by one.

    `texts` are those of its pieces.
    """
    pieces = list(zip(texts, (piece.type for piece in proto.pieces), strict=True))
    return _why_by_make(proto, pieces) or _why_by_trial(pieces, tokenizer)


def _why_by_make(proto: Any, pieces: _Pieces) -> str | None:
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    checks = {
        "it is not a BPE model": trainer.model_type == _BPE,
        "its words end with the sign for a space": not trainer.treat_whitespace_as_suffix,
        "it has no byte fallback": trainer.byte_fallback,
        "its normalization changes characters": not normalizer.precompiled_charsmap,
        "it puts no space before a text": normalizer.add_dummy_prefix,
        "it keeps several spaces": normalizer.remove_extra_whitespaces,
        "it has no sign for a space": normalizer.escape_whitespaces,
    }
    for reason, holds in checks.items():
        if not holds:
            return reason
    for text, kind in pieces:
        if WORD_MARK in text[1:] or " " in text:
            return f"its piece {text!r} goes across a space"
        if kind == _USER_DEFINED and WORD_MARK in text:
            return f"its own symbol {text!r} holds the sign for a space"
    return None


def _why_by_trial(pieces: _Pieces, tokenizer: sentencepiece.SentencePieceProcessor) -> str | None:
    for words in _probes(pieces):
        text = " ".join(words)
        apart = list(itertools.chain.from_iterable(tokenizer.encode(words)))
        if tokenizer.encode(text) != apart:
            return f"the ids of {text!r} are not those of its words"
    return None


def _probes(pieces: _Pieces) -> Iterator[list[str]]:
    """Lists of words: pieces of all kinds beside each other, empty ones, and strange ones."""
    step = max(1, len(pieces) // (4 * _NUM_PROBES))
    chosen = [text.replace(WORD_MARK, "") for text, _ in pieces[::step]]
    yield from (chosen[start : start + 8] for start in range(0, len(chosen), 8))
    symbols = [text for text, kind in pieces if kind == _USER_DEFINED][:_NUM_PROBES]
    yield from ([symbol, "a", symbol + symbol, "", f"a{symbol}b", symbol] for symbol in symbols)
    yield from (["", "a"], ["a", ""], ["", "", "a", "", "", "b", "", ""], [""], ["", ""])
    yield from (["a", space, f"b{space}", f"{space}c", "d"] for space in "\t\n\0\xa0\u3000\u200b")
