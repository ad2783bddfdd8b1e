"""Text and tags → the identities of the contract: pair ids, tag symbols, token-safe names."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

TAG_KINDS: Final = ("author", "city", "year")
"""The order in which tags stand before the text of `src`, one id each."""

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
MAX_NAME_CHARS: Final = 48

_UNSAFE = re.compile(r"[^\w.+-]+")
_WORD_MARK = "\u2581"  # sentencepiece's own sign for a space: in text it could not be told apart
_TAG_PREFIX = re.compile(r"\s*<(author|city|year)(?:_([^<>\s]+))?>\s*")

Ids = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One encoded pair: `src` ids (tags first), `tgt` ids, its stable id and its source's index.

    A text without a translation has an empty `tgt`; a data set holds either pairs or such texts.
    """

    pair_id: int
    src: Ids
    tgt: Ids
    source: int


def normalize_text(text: str) -> str:
    """NFC, single spaces, no word mark: the one form in which text is hashed, encoded and shown."""
    return " ".join(unicodedata.normalize("NFC", text).replace(_WORD_MARK, "_").split())


def pair_key(src: str, tgt: str) -> bytes:
    """16 bytes that identify a pair of normalized texts; equal pairs, and only they, share it.

    A text that stands alone is a pair whose `tgt` is empty.
    """
    joined = f"{src}\x1f{tgt}".encode()
    return hashlib.blake2b(joined, digest_size=16).digest()


def pair_id(key: bytes) -> int:
    """The stable unsigned 64-bit id of the pair whose `pair_key` is given."""
    return int.from_bytes(key[:8], "big")


def safe_name(name: str) -> str:
    """A name as it stands inside a tag symbol: word characters only, or "" if none are left."""
    folded = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip("_.+-")
    return folded[:MAX_NAME_CHARS].rstrip("_.+-")


def tag_symbol(kind: str, name: str | None = None) -> str:
    """The vocabulary entry of a tag: `<author_X>`, or the fallback `<author>` without a name."""
    return f"<{kind}_{name}>" if name else f"<{kind}>"


def target_symbol(language: str) -> str:
    """The vocabulary entry that asks for a translation into a language: `<to_en>`."""
    return f"<to_{language}>"


def split_tags(text: str) -> tuple[dict[str, str], str]:
    """Leading tags of a text and the rest: "<author_X> hi" → ({"author": "X"}, "hi")."""
    tags: dict[str, str] = {}
    while match := _TAG_PREFIX.match(text):
        tags[match[1]] = match[2] or ""
        text = text[match.end() :]
    return tags, text


def ids_digest(ids: npt.NDArray[np.uint64]) -> str:
    """Order-independent digest of a multiset of pair ids: their sum and XOR, 32 hex digits."""
    total = int(np.add.reduce(ids, dtype=np.uint64)) if len(ids) else 0
    mixed = int(np.bitwise_xor.reduce(ids)) if len(ids) else 0
    return f"{total:016x}{mixed:016x}"


def combine_digests(digests: list[str]) -> str:
    """The digest of the union of the multisets whose digests are given."""
    total = sum(int(digest[:16], 16) for digest in digests) % 2**64
    mixed = 0
    for digest in digests:
        mixed ^= int(digest[16:], 16)
    return f"{total:016x}{mixed:016x}"
