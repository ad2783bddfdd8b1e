"""The setting `tokenizer`, a path or a sha256 → an existing model, if it can encode this build."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataservice.errors import BuildError
from dataservice.prepare.tokenizer import load_tokenizer, tag_ids_of, target_symbols
from dataservice.settings import BuildSettings
from shards.manifest import MODEL_SUFFIX
from shards.sample import BOS, EOS, PAD, TAG_KINDS, UNK, tag_symbol

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_MODEL_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class ReusedTokenizer:
    """A model that was trained before; a tag that it lacks falls back to its kind's."""

    model: bytes
    symbols: dict[str, int]  # tag symbols and their ids
    vocab_size: int


def names_blob(tokenizer: str) -> bool:
    """Whether the setting is the sha256 of a model in the store, so no path."""
    return _SHA256.fullmatch(tokenizer) is not None


def load_reused(settings: BuildSettings) -> ReusedTokenizer:
    """The model that `settings.tokenizer` names, verified.

    Raises:
        BuildError: when there is none, or it lacks a symbol, with all that it lacks.
    """
    model = _read(settings)
    try:
        tokenizer, symbols = load_tokenizer(model), tag_ids_of(model)
    except (RuntimeError, ValueError) as error:
        raise _unusable(settings, "it is no SentencePiece model") from error
    special = {
        PAD: tokenizer.pad_id(),
        UNK: tokenizer.unk_id(),
        BOS: tokenizer.bos_id(),
        EOS: tokenizer.eos_id(),
    }
    lacks = [
        name
        for name, number in special.items()
        if number < 0 or tokenizer.id_to_piece(number) != name
    ]
    lacks += [
        symbol
        for symbol in target_symbols(settings).values()
        if not tokenizer.is_control(tokenizer.piece_to_id(symbol))
    ]
    lacks += [tag_symbol(kind) for kind in TAG_KINDS if tag_symbol(kind) not in symbols]
    if lacks:
        raise _unusable(settings, f"it lacks {', '.join(lacks)}")
    return ReusedTokenizer(model, symbols, tokenizer.vocab_size())


def _read(settings: BuildSettings) -> bytes:
    name = settings.tokenizer
    path = Path(name)
    if names_blob(name):
        path = settings.store_dir / "blobs" / f"{name}{MODEL_SUFFIX}"
    try:
        if not path.is_file():  # a pipe would be waited for
            raise _unusable(settings, f"there is no file {path}")
        if not 0 < path.stat().st_size <= _MAX_MODEL_BYTES:
            raise _unusable(settings, f"{path} is empty or above {_MAX_MODEL_BYTES >> 20} MiB")
        model = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unusable(settings, f"{path} cannot be read: {error}") from error
    if names_blob(name) and hashlib.sha256(model).hexdigest() != name:
        raise _unusable(settings, f"{path} is damaged, its sha256 is another one")
    return model


def _unusable(settings: BuildSettings, why: str) -> BuildError:
    languages = " and ".join(target_symbols(settings))
    return BuildError(
        f"tokenizer {settings.tokenizer!r} cannot be used: {why}; nothing was published; give the "
        f"model, or the sha256 of the model, of a data set in {languages}, or leave --tokenizer "
        "out to train one"
    )
