"""A number → the same synthetic pairs of token ids for every system.

Lengths are log-normal like those of sentences, longer on one side where they are on the other, and
ids follow a Zipf law, so that compression meets about the entropy of real text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

VOCAB_SIZE = 32_000
PAD, BOS, EOS, TO_TGT = 0, 2, 3, 5
_FIRST_TEXT_ID = 10
_PREFIX = 3  # ids of author, city and year


@dataclass(frozen=True)
class Corpus:
    """N pairs: concatenated ids, and for each pair its lengths and its id."""

    src: npt.NDArray[np.uint16]
    tgt: npt.NDArray[np.uint16]
    src_len: npt.NDArray[np.int64]
    tgt_len: npt.NDArray[np.int64]
    id: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.id)

    @cached_property
    def rows(self) -> list[tuple[int, npt.NDArray[np.uint16], npt.NDArray[np.uint16]]]:
        """Pair id, framed input and framed target: all that is left to do is to pad them.

        Made before the clock of writing starts, since cutting pairs out is no system's work.
        """
        return list(self._cut())

    def _cut(self) -> Iterator[tuple[int, npt.NDArray[np.uint16], npt.NDArray[np.uint16]]]:
        src_ends, tgt_ends = np.cumsum(self.src_len), np.cumsum(self.tgt_len)
        for number in range(len(self)):
            src = self.src[src_ends[number] - self.src_len[number] : src_ends[number]]
            tgt = self.tgt[tgt_ends[number] - self.tgt_len[number] : tgt_ends[number]]
            yield (
                int(self.id[number]),
                np.concatenate([[TO_TGT], src, [EOS]]).astype(np.uint16),
                np.concatenate([[BOS], tgt, [EOS]]).astype(np.uint16),
            )


def make_corpus(number: int, part: int = 0) -> Corpus:
    """Pairs of one part of a corpus; parts are alike, and no pair id is in two of them."""
    rng = np.random.Generator(np.random.Philox(1 + part))
    tgt_len = np.clip(np.exp(rng.normal(3.05, 0.55, number)), 2, 200).astype(np.int64)
    ratio = np.exp(rng.normal(0.05, 0.2, number))
    src_len = np.clip(tgt_len * ratio, 2, 200).astype(np.int64) + _PREFIX
    first = np.uint64(part << 32)
    weights = 1 / np.arange(_FIRST_TEXT_ID, VOCAB_SIZE)
    edges = np.cumsum(weights / weights.sum())

    def draw(count: int) -> npt.NDArray[np.uint16]:
        places = np.searchsorted(edges, rng.random(count))
        return (np.minimum(places, len(edges) - 1) + _FIRST_TEXT_ID).astype(np.uint16)

    return Corpus(
        src=draw(int(src_len.sum())),
        tgt=draw(int(tgt_len.sum())),
        src_len=src_len,
        tgt_len=tgt_len,
        id=rng.permutation(np.arange(number, dtype=np.uint64) + first) * np.uint64(2654435761),
    )
