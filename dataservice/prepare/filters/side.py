"""Texts of one language → what filters ask of them, counted over a whole chunk at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.filter_settings import FilterSettings
from dataservice.prepare.filters.classes import DIGIT, SPACE, Tables, script_class, tables
from dataservice.prepare.text.points import CodePoints, Mask
from shards.languages import possible_scripts_of

Counts = npt.NDArray[np.int64]
_FIELD_BITS: Final = 21  # longer texts than this counts were refused long before
_MIX: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)
_PIECE_CHARS: Final = 1 << 18  # arrays of so many characters stay in a core's cache


class Side:
    """N texts of a language, cleaned: NFC, single spaces between words."""

    def __init__(
        self, texts: Sequence[str], language: str, points: CodePoints | None = None
    ) -> None:
        self.texts = texts
        self.language = language
        self.points = CodePoints.of(texts) if points is None else points
        self.lengths: Counts = self.points.lengths
        self.tables: Tables = tables()

    def cut(self, start: int, stop: int) -> "Side":
        """Texts `start` to `stop` alone; their code points are shared."""
        bounds = self.points.starts[start : stop + 1]
        points = CodePoints(self.points.points[bounds[0] : bounds[-1]], bounds - bounds[0])
        return Side(self.texts[start:stop], self.language, points)

    @cached_property
    def classes(self) -> npt.NDArray[np.uint8]:
        """What each character is [C]; see `classes`."""
        return self.tables.classes.take(self.points.points)

    @cached_property
    def letters(self) -> tuple[Counts, Counts]:
        """Letters of the language's own scripts, and of all others, text by text [N], [N].

        A language of unknown script owns every letter.
        """
        scripts = possible_scripts_of(self.language)
        packed = self.tables.packed(scripts, _FIELD_BITS).take(self.classes)
        # both counts in one word: differences of a sum that wraps are exact all the same
        sums = self.sums(packed)
        mask = np.int64((1 << _FIELD_BITS) - 1)
        return sums & mask, sums >> np.int64(_FIELD_BITS) & mask

    @cached_property
    def own_classes(self) -> frozenset[int]:
        """The classes of letters of the language's own scripts."""
        return frozenset(map(script_class, possible_scripts_of(self.language)))

    def sums(self, values: npt.NDArray[np.generic]) -> Counts:
        """Sums of one value a character, text by text [N], modulo 2^64."""
        return self.points.sums(values)

    def where(self, character: int) -> tuple[Counts, Counts]:
        """Positions of a class of characters [P], and where each text's begin in them [N + 1]."""
        positions = np.flatnonzero(self.classes == character)
        return positions, np.searchsorted(positions, self.points.starts)

    @cached_property
    def digits(self) -> tuple[Counts, Counts]:
        """Positions of the digits of any script, and where each text's begin in them."""
        return self.where(DIGIT)

    @cached_property
    def digit_counts(self) -> Counts:
        """Digits of each text [N]."""
        return np.diff(self.digits[1])

    @cached_property
    def spaces(self) -> tuple[Counts, Counts]:
        """Positions of the spaces, and where each text's begin in them."""
        return self.where(SPACE)

    @cached_property
    def space_counts(self) -> Counts:
        """Spaces of each text [N]."""
        return np.diff(self.spaces[1])

    @cached_property
    def visible(self) -> Counts:
        """Characters of each text that are no space, at least 1 [N]."""
        least: Counts = np.maximum(self.lengths - self.space_counts, 1)
        return least

    @cached_property
    def word_counts(self) -> Counts:
        """Words of each text: what spaces divide [N]."""
        return self.space_counts + (self.lengths > 0)

    @cached_property
    def words(self) -> tuple[Counts, Counts, Counts]:
        """Where the W words begin and end, and the first word of each text [W], [W], [N].

        An empty text has one word of no length, so that `reduceat` may be used.
        """
        positions, cuts = self.spaces
        starts = self.points.starts
        texts = np.arange(len(cuts) - 1)
        firsts, lasts = cuts[:-1] + texts, cuts[1:] + texts
        begins = np.empty(len(positions) + len(texts), np.int64)
        ends = np.empty_like(begins)
        # the word behind each space: as many further as texts have begun
        behind = np.repeat(texts + 1, np.diff(cuts)) + np.arange(len(positions))
        begins[firsts], begins[behind] = starts[:-1], positions + 1
        ends[lasts], ends[behind - 1] = starts[1:], positions
        return begins, ends, firsts

    @cached_property
    def word_hashes(self) -> npt.NDArray[np.uint64]:
        """A hash of each word [W]: of its length, first, middle and last character.

        Different words may share one, equal words always do.
        """
        begins, ends, _ = self.words
        points = self.points.points
        if not len(points):
            return np.zeros(len(begins), np.uint64)
        last = np.maximum(ends - 1, 0)
        hashes: npt.NDArray[np.uint64] = points[np.minimum(begins, last)] * _MIX[0]
        hashes += points[(begins + last) >> 1] * _MIX[1]
        hashes += points[last] * _MIX[2]
        hashes += (ends - begins).astype(np.uint64) * _MIX[3]
        return hashes

    @cached_property
    def word_marks(self) -> npt.NDArray[np.uint64]:
        """64 bits of each text, of which each word sets one [N]."""
        bits = np.left_shift(np.uint64(1), self.word_hashes >> np.uint64(58))
        return np.bitwise_or.reduceat(bits, self.words[2]) if len(bits) else bits

    def rows_of(self, positions: Counts) -> Counts:
        """The text in which each of a few positions lies."""
        return np.searchsorted(self.points.starts, positions, side="right") - 1


@dataclass(frozen=True)
class Batch:
    """N pairs, or N texts without a translation, and the settings by which they are judged."""

    src: Side
    tgt: Side | None
    settings: FilterSettings

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.src,) if self.tgt is None else (self.src, self.tgt)

    @property
    def nothing(self) -> Mask:
        """A mask that marks no pair."""
        return np.zeros(len(self.src.texts), np.bool_)

    def any_side(self, test: Callable[[Side], Mask]) -> Mask:
        """The pairs of which a side passes a test."""
        found = test(self.src)
        return found if self.tgt is None else found | test(self.tgt)

    def without(self, rows: Mask) -> "Batch":
        """The batch with empty texts in some rows."""
        blank = rows.tolist()

        def cleared(side: Side) -> Side:
            kept = ["" if gone else text for text, gone in zip(side.texts, blank, strict=True)]
            return Side(kept, side.language)

        return Batch(cleared(self.src), self.tgt and cleared(self.tgt), self.settings)

    def pieces(self) -> Iterator["Batch"]:
        """The batch cut where arrays would leave the processor's cache."""
        chars = np.sum([side.points.starts for side in self.sides], axis=0)
        num_pieces = max(1, -(-int(chars[-1]) // _PIECE_CHARS))
        targets = np.arange(1, num_pieces) * _PIECE_CHARS
        cuts = [0, *np.unique(np.searchsorted(chars, targets)).tolist(), len(chars) - 1]
        for start, stop in pairwise(cuts):
            if start < stop:
                tgt = self.tgt.cut(start, stop) if self.tgt else None
                yield Batch(self.src.cut(start, stop), tgt, self.settings)


Filter = Callable[[Batch], Mask]
"""Which pairs of a batch are dropped [N]: a pure function."""


def confirm(suspects: Mask, test: Callable[[int], bool]) -> Mask:
    """Those of the suspected rows that pass an exact test; suspects must be few."""
    found = np.zeros_like(suspects)
    rows = np.flatnonzero(suspects)
    found[rows] = [test(row) for row in rows.tolist()]
    return found
