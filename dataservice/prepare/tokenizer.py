"""A bounded sample of sentences and the tag symbols → a SentencePiece model."""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as sentencepiece_proto

from dataservice.errors import BuildError
from dataservice.settings import BuildSettings
from shards.sample import BOS, EOS, PAD, TAG_KINDS, UNK, target_symbol

_RECIPE: Final = 1  # another one whenever the same sentences would give another model
_MAX_SENTENCE_BYTES: Final = 1 << 20
_UNKNOWN_SIGN: Final = "\u2585"
_TOO_LARGE = re.compile(r"value <= (\d+)")
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")
_TAG_SYMBOL = re.compile(rf"<(?:{'|'.join(TAG_KINDS)})(?:_[^<>\s]+)?>")
_USER_DEFINED: Final = sentencepiece_proto.ModelProto.SentencePiece.USER_DEFINED


def target_symbols(settings: BuildSettings) -> dict[str, str]:
    """Symbol by language, for both directions; texts without a translation have the one."""
    languages = [language for language in (settings.src_lang, settings.tgt_lang) if language]
    return {language: target_symbol(language) for language in languages}


def train_tokenizer(
    sentences: Iterable[str], tag_symbols: Sequence[str], settings: BuildSettings
) -> bytes:
    """Train a BPE model with byte fallback and name its tags; the same input, the same bytes.

    Raises:
        BuildError: when the sentences cannot fill the vocabulary, with the size they can fill.
    """
    return name_tags(train_nameless(sentences, len(tag_symbols), settings), tag_symbols)


def train_nameless(sentences: Iterable[str], num_tags: int, settings: BuildSettings) -> bytes:
    """Train a model whose tags are placeholders, so that names change no piece of text.

    Text is taken as it is (the build normalizes it), so decoding gives back what was encoded.

    Raises:
        BuildError: when the sentences cannot fill the vocabulary, with the size they can fill.
    """
    model = io.BytesIO()
    raised: list[BaseException] = []
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_checked(sentences, raised),
            model_writer=model,
            model_type="bpe",
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            byte_fallback=True,
            split_by_unicode_script=True,
            normalization_rule_name="identity",
            max_sentence_length=_MAX_SENTENCE_BYTES,
            control_symbols=list(target_symbols(settings).values()),
            user_defined_symbols=_placeholders(num_tags),
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
        if raised:  # Ctrl-C among others, which sentencepiece makes an error of its own
            raise raised[0] from error
        raise _vocabulary_error(str(error), num_tags, settings) from error
    return model.getvalue()


def _placeholders(number: int) -> list[str]:
    """Tags that name nobody yet; cleaning leaves none of this form in a text."""
    return [f"<{TAG_KINDS[0]}_{index}>" for index in range(number)]


def name_tags(model: bytes, tag_symbols: Sequence[str]) -> bytes:
    """The model with these tags in the place of its own, one for one; text is encoded alike."""
    proto = parse_model(model)
    pieces = [piece for _, piece in _tag_pieces(proto)]
    assert len(pieces) == len(tag_symbols), "as many tags as the model was trained with"
    names = dict(zip((piece.piece for piece in pieces), tag_symbols, strict=True))
    for piece in pieces:
        piece.piece = names[piece.piece]
    symbols = proto.trainer_spec.user_defined_symbols
    symbols[:] = [names.get(symbol, symbol) for symbol in symbols]
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def text_digest(model: bytes) -> str:
    """A sha256 that is equal for two models that differ by the names of their tags alone.

    Such models give the same ids for every text that is clean, which holds no tag.
    """
    return hashlib.sha256(name_tags(model, _placeholders(len(tag_ids_of(model))))).hexdigest()


def tag_ids_of(model: bytes) -> dict[str, int]:
    """The tag symbols of a model and their ids, in the order of ids."""
    return {piece.piece: number for number, piece in _tag_pieces(parse_model(model))}


def _tag_pieces(proto: Any) -> Iterator[tuple[int, Any]]:
    """The ids of tags and their pieces."""
    for number, piece in enumerate(proto.pieces):
        if piece.type == _USER_DEFINED and _TAG_SYMBOL.fullmatch(piece.piece):
            yield number, piece


def save_sample(path: Path, sentences: Iterable[str]) -> str:
    """Write clean sentences to a file as they come, a line each; the sha256 of the file."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for sentence in sentences:
            assert "\n" not in sentence, "a sentence is clean"
            line = f"{sentence}\n".encode()
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def read_sample(path: Path) -> Iterator[str]:
    """The sentences that `save_sample` wrote."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line[:-1]


def tokenizer_key(sample_sha256: str, num_tags: int, settings: BuildSettings) -> str:
    """A sha256 of all that `train_nameless` depends on: equal keys, equal models."""
    recipe = {
        "recipe": _RECIPE,
        "sentencepiece": sentencepiece.__version__,
        "sample_sha256": sample_sha256,
        "num_tags": num_tags,
        "target_symbols": list(target_symbols(settings).values()),
        "vocab_size": settings.vocab_size,
        "character_coverage": settings.character_coverage,
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _checked(sentences: Iterable[str], raised: list[BaseException]) -> Iterator[str]:
    """Sentences of which sentencepiece skips none without a word.

    It would pass over longer ones, so one would be our mistake, and those with its own sign for
    an unknown piece.
    """
    try:
        for sentence in sentences:
            assert len(sentence.encode()) < _MAX_SENTENCE_BYTES, "it passed the length filter"
            yield sentence.replace(_UNKNOWN_SIGN, " ")
    except BaseException as error:
        raised.append(error)
        raise


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


def parse_model(model: bytes) -> Any:
    """The parts of a model: pieces, and how it was trained and treats text."""
    return sentencepiece_proto.ModelProto.FromString(model)


def load_tokenizer(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """A processor for the bytes of a model, which works in the thread that calls it."""
    # by default it has a thread for every core, and waits for them; our processes are as many
    return sentencepiece.SentencePieceProcessor(model_proto=model, num_threads=1)
