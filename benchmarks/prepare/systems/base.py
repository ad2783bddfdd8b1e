"""What the benchmark asks of every system, and the clean that its peers share.

The clean is the least that a user would do, so that no peer is charged for filters that only ours
has: Unicode NFC, white space, and a look at the script of each side.
"""

import hashlib
import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.prepare.corpus import read_pairs

BATCH = 1000
"""Pairs that a peer cleans and encodes in one call, unless its own default is another."""

Ids = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be made of what."""

    corpus: Path  # JSON lines, plain
    folder: Path  # new and empty, for the result
    cache: Path  # new and empty, for whatever else a system writes
    vocab_size: int
    model: Path  # sentencepiece
    tokenizer: Path  # of Hugging Face tokenizers, as large, trained on the same text


class System(Protocol):
    """A module below systems/."""

    NAME: str
    SETTINGS: str
    DOES: str
    """What it does with the text before and after encoding it.

    WRITTEN, if it has one, is the folder in its job's that holds the data set and nothing else.
    """

    def prepare(self, job: Job) -> dict[str, Any]:
        """Read, clean, encode and write everything; figures of its own, if it has any."""

    def check(self, job: Job) -> dict[str, Any]:
        """How many pairs were written and whether they are right, by reading them back."""


def clean(text: str) -> str:
    """NFC, and one space where there is any white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def keep(src: str, tgt: str) -> bool:
    """Whether a third of src's characters, or more, and at most a third of tgt's are not ASCII.

    Counted by bytes, which costs next to nothing: a Cyrillic letter has two.
    """
    if not src or not tgt:
        return False
    return 3 * _wide(src) >= len(src) and 3 * _wide(tgt) <= len(tgt)


def _wide(text: str) -> int:
    return 0 if text.isascii() else len(text.encode()) - len(text)


def cleaned(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs that are kept, cleaned."""
    found = ((clean(src), clean(tgt)) for src, tgt in pairs)
    return [pair for pair in found if keep(*pair)]


def batches(corpus: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Cleaned sources and targets of the whole corpus, so many at a time."""
    pairs = read_pairs(corpus)
    while batch := list(itertools.islice(pairs, BATCH)):
        if kept := cleaned(batch):
            src, tgt = zip(*kept, strict=True)
            yield list(src), list(tgt)


def compare(
    found: Iterable[tuple[Sequence[int], Sequence[int]]],
    expected: Iterable[tuple[Sequence[int], Sequence[int]]],
) -> dict[str, Any]:
    """How many pairs and tokens were read back, and whether they are the expected ones."""
    told, wanted = _digest(found), _digest(expected)
    return {**told, "equal": told == wanted, "expected_pairs": wanted["pairs"]}


def _digest(pairs: Iterable[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Any]:
    digest = hashlib.sha256()
    number = tokens = 0
    for pair in pairs:
        number += 1
        for ids in pair:
            tokens += len(ids)
            digest.update(len(ids).to_bytes(4, "little") + np.asarray(ids, np.uint16).tobytes())
    return {"pairs": number, "tokens": tokens, "sha256": digest.hexdigest()}
