"""Counts and a vocabulary → how text and pieces fit together: coverage, fertility, use."""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import sentencepiece

from dataservice.prepare.counts import LENGTH_EDGES, SplitCounts
from dataservice.prepare.report.schema import (
    Coverage,
    Fertility,
    MissingCharacter,
    Rank,
    VocabularyUse,
)

_MAX_UNCOVERED: Final = 100
_WORD_MARK: Final = "\u2581"


@dataclass(frozen=True)
class Pieces:
    """The V pieces of a tokenizer, and what each is."""

    pieces: tuple[str, ...]
    is_byte: npt.NDArray[np.bool_]  # [V]
    is_text: npt.NDArray[np.bool_]  # [V] neither a byte nor a symbol

    @classmethod
    def of(cls, tokenizer: sentencepiece.SentencePieceProcessor, symbols: Collection[int]) -> Self:
        """What a tokenizer has; `symbols` are the ids of tags and of targets."""
        ids = list(range(tokenizer.vocab_size()))
        is_byte, is_control, is_unknown = (
            np.array(told, np.bool_)
            for told in (
                tokenizer.is_byte(ids),
                tokenizer.is_control(ids),
                tokenizer.is_unknown(ids),
            )
        )
        is_symbol = is_control | is_unknown
        is_symbol[list(symbols)] = True
        return cls(tuple(tokenizer.id_to_piece(ids)), is_byte, ~(is_byte | is_symbol))

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters that have pieces, so that they need not be spelled in bytes."""
        text = (piece for piece, is_text in zip(self.pieces, self.is_text, strict=True) if is_text)
        return frozenset("".join(text).replace(_WORD_MARK, " "))


def make_coverage(counts: SplitCounts, languages: Sequence[str], vocabulary: Pieces) -> Coverage:
    """Which of the characters pieces have."""
    points = counts.points_of(*languages)
    known = vocabulary.characters
    chars = [chr(point) for point in points.points.tolist()]
    covered = np.array([char in known for char in chars], np.bool_)
    missing = sorted(
        (-number, char)
        for char, number, has in zip(chars, points.counts.tolist(), covered.tolist(), strict=True)
        if not has
    )
    return {
        "total": points.num_chars,
        "distinct": len(chars),
        "covered_share": share_of(int(points.counts[covered].sum()), points.num_chars),
        "uncovered": [_missing(char, -negative) for negative, char in missing[:_MAX_UNCOVERED]],
    }


def _missing(char: str, count: int) -> MissingCharacter:
    name = unicodedata.name(char, "")
    return {"char": char, "point": f"U+{ord(char):04X}", "name": name, "count": count}


def make_fertility(counts: SplitCounts, code: str, vocabulary: Pieces) -> Fertility:
    """How much text of a language a token is."""
    points, pieces = counts.points_of(code), counts.pieces[code]
    words, tokens = counts.num_words(code), int(pieces.sum())
    return {
        "samples": counts.samples,
        "characters": points.num_chars,
        "words": words,
        "bytes": points.num_bytes,
        "tokens": tokens,
        "tokens_per_char": share_of(tokens, points.num_chars),
        "tokens_per_word": share_of(tokens, words),
        "bytes_per_token": share_of(points.num_bytes, tokens),
        "byte_fallback_share": share_of(int(pieces[vocabulary.is_byte].sum()), tokens),
    }


def make_vocabulary_use(
    counts: SplitCounts, vocabulary: Pieces, *, with_tags: bool = False
) -> VocabularyUse:
    """How often the pieces are used, by rank."""
    pieces = np.zeros(len(vocabulary.pieces), np.int64)
    for one in counts.pieces.values():
        pieces += one
    if with_tags:
        for number, count in counts.tags.items():
            pieces[number] += count
    ranked = np.sort(pieces[pieces > 0])[::-1]
    sums, tokens = np.cumsum(ranked), int(ranked.sum())
    ranks = sorted({*(edge for edge in LENGTH_EDGES if 0 < edge < len(ranked)), len(ranked)})
    table: list[Rank] = [
        {
            "rank": rank,
            "count": int(ranked[rank - 1]),
            "share": share_of(int(sums[rank - 1]), tokens),
        }
        for rank in ranks
        if rank
    ]
    return {
        "size": len(vocabulary.pieces),
        "used": len(ranked),
        "used_once": int((ranked == 1).sum()),
        "byte_fallback_share": share_of(int(pieces[vocabulary.is_byte].sum()), tokens),
        "ranks": table,
    }


def share_of(part: int, whole: int) -> float:
    """A quotient as it stands in statistics: the same digits everywhere."""
    return round(part / whole, 6) if whole else 0.0
