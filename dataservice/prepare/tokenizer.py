"""A bounded sample of sentences and the tag symbols → a SentencePiece model."""

import io
import re
from collections.abc import Iterable, Iterator
from typing import Final

import sentencepiece

from dataservice.errors import BuildError
from dataservice.settings import BuildSettings
from shards.sample import BOS, EOS, PAD, UNK

TARGET_SYMBOLS: Final = {"ru": "<to_ru>", "en": "<to_en>"}
_MAX_SENTENCE_BYTES: Final = 1 << 20
_UNKNOWN_SIGN: Final = "\u2585"
_TOO_LARGE = re.compile(r"value <= (\d+)")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


def train_tokenizer(
    sentences: Iterable[str], tag_symbols: tuple[str, ...], settings: BuildSettings
) -> bytes:
    """Train a BPE model with byte fallback; the same sentences give the same bytes.

    Text is taken as it is (the build normalizes it), so decoding gives back what was encoded.

    Raises:
        BuildError: when the sentences cannot fill the vocabulary, with the size they can fill.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_checked(sentences),
            model_writer=model,
            model_type="bpe",
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            byte_fallback=True,
            split_by_unicode_script=True,
            normalization_rule_name="identity",
            max_sentence_length=_MAX_SENTENCE_BYTES,
            control_symbols=list(TARGET_SYMBOLS.values()),
            user_defined_symbols=list(tag_symbols),
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=PAD,
            unk_piece=UNK,
            bos_piece=BOS,
            eos_piece=EOS,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _vocabulary_error(str(error), len(tag_symbols), settings) from error
    return model.getvalue()


def _checked(sentences: Iterable[str]) -> Iterator[str]:
    """Sentences of which sentencepiece skips none without a word.

    It would pass over longer ones, so one would be our mistake, and those with its own sign for
    an unknown piece.
    """
    for sentence in sentences:
        assert len(sentence.encode()) < _MAX_SENTENCE_BYTES, "a sentence passed the length filter"
        yield sentence.replace(_UNKNOWN_SIGN, " ")


def _vocabulary_error(message: str, num_tags: int, settings: BuildSettings) -> BuildError:
    if limit := _TOO_LARGE.search(message):
        remedy = f"set --vocab-size to {limit[1]} or less, or give more text"
    elif needed := _TOO_SMALL.search(message):
        remedy = f"set --vocab-size well above {needed[1]}, or lower --character-coverage"
    else:
        return BuildError(f"the tokenizer could not be trained: {' '.join(message.split())}")
    return BuildError(
        f"a vocabulary of {settings.vocab_size} pieces (256 bytes and {num_tags} tags among them) "
        f"does not fit the text; nothing was published; {remedy}"
    )


def load_tokenizer(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """A processor for the bytes of a model."""
    return sentencepiece.SentencePieceProcessor(model_proto=model)
