"""Words and their ids ↔ the bytes of a saved memo, which are believed only if all of them fit."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sentencepiece

from dataservice.prepare.memo.words import Keys
from shards.errors import PrometheusError

_FORMAT: Final = 1  # another one whenever keys, codes or this layout change
_DIGEST_BYTES: Final = 32
_MAX_HEADER_BYTES: Final = 1000


class MemoError(PrometheusError):
    """A saved memo is damaged, or is another tokenizer's."""


@dataclass(frozen=True, slots=True)
class SavedWords:
    """W words in the order in which they were learned, K with a key and L without."""

    keys: Keys  # [2, K]
    loose: list[str]  # [L]
    is_loose: npt.NDArray[np.bool_]  # [W]
    counts: npt.NDArray[np.uint32]  # [W] ids of each word
    ids: npt.NDArray[np.unsignedinteger]  # [T] ids of all words end to end


def dump_words(words: SavedWords, model_sha256: str) -> bytes:
    """A line that says what it is, the arrays, the words without a key, and a sha256 of all."""
    loose = " ".join(words.loose).encode()  # no word holds a space
    header = _expected(model_sha256) | {
        "words": len(words.counts),
        "keys": words.keys.shape[1],
        "ids": len(words.ids),
        "id_bytes": words.ids.itemsize,
        "loose_bytes": len(loose),
    }
    arrays = (words.keys, words.is_loose, words.counts, words.ids)
    parts: list[bytes | memoryview] = [
        json.dumps(header).encode() + b"\n",
        # views: each copy would be as large as the memo
        *(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).reshape(-1).data for a in arrays),
        loose,
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def load_words(data: bytes, model_sha256: str) -> SavedWords:
    """The words of a saved memo.

    Raises:
        MemoError: when a byte is not what was saved, or it is not of this model and software.
    """
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise MemoError(_ignored("it is damaged"))
    line = body[: body.find(b"\n", 0, _MAX_HEADER_BYTES) + 1]
    try:
        header: dict[str, Any] = json.loads(line)
        for name, value in _expected(model_sha256).items():
            if header[name] != value:
                raise MemoError(_ignored(f"its {name} is {header[name]}, not {value}"))
        return _split(memoryview(body)[len(line) :], header)
    except (KeyError, TypeError, ValueError) as error:
        raise MemoError(_ignored("it is none")) from error


def num_saved(path: Path, model_sha256: str) -> int:
    """How many words a saved memo of this model and software says that it holds; else 0."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_MAX_HEADER_BYTES))
        fits = header | _expected(model_sha256) == header
        return int(header["words"]) if fits else 0
    except (OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError):
        return 0  # whatever that is, `load_words` will say


def _expected(model_sha256: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "sentencepiece": sentencepiece.__version__,
        "model_sha256": model_sha256,
    }


def _split(data: memoryview, header: dict[str, Any]) -> SavedWords:
    """The parts of what comes behind the header; ValueError when they do not add up."""
    num_words, num_keys, num_ids = (int(header[name]) for name in ("words", "keys", "ids"))
    id_type = f"<u{int(header['id_bytes'])}"
    parts = []
    for dtype, count in (
        ("<u8", 2 * num_keys),
        ("?", num_words),
        ("<u4", num_words),
        (id_type, num_ids),
    ):
        parts.append(np.frombuffer(data, dtype, count))
        data = data[parts[-1].nbytes :]
    keys, is_loose, counts, ids = parts
    loose = bytes(data).decode().split(" ") if num_words > num_keys else []
    fits = int(is_loose.sum()) == len(loose) == num_words - num_keys
    if not (fits and len(data) == int(header["loose_bytes"]) and int(counts.sum()) == num_ids):
        raise ValueError("numbers of words or ids differ")
    return SavedWords(keys.reshape(2, num_keys), loose, is_loose, counts, ids)


def _ignored(why: str) -> str:
    return (
        f"a saved word memo cannot be used: {why}; nothing is lost, words are encoded anew; "
        "delete it, or save a new one in its place"
    )
