"""What the stages see of texts → counts of it, which add up whatever the partitions are.

Every merge is associative: parts in the order of units give one result, however they are grouped.
"""

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from dataservice.prepare.text.lines import END
from shards.lengths import ShardLengths, merge_lengths
from shards.manifest import ShardInfo

Counts = npt.NDArray[np.int64]
Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_EXAMPLES: Final = 5
MAX_EXAMPLE_CHARS: Final = 200

LENGTH_EDGES: Final[tuple[int, ...]] = (
    *range(8),
    *(
        -(-(2**octave * step) // 1000)
        for octave in range(3, 18)
        for step in (1000, 1190, 1415, 1682)
    ),
)
"""Where bins of lengths begin, four an octave from 4 on; the last one has no end."""

RATIO_EDGES: Final[tuple[float, ...]] = (0.0, *(round(2 ** (n / 8), 6) for n in range(-24, 25)))
"""Where bins of ratios begin, eight an octave from 1/8 to 8; the last one has no end."""


@dataclass(frozen=True, slots=True)
class Example:
    """A pair that was dropped, as much of it as a report shows."""

    src: str
    tgt: str
    source: str


@dataclass(slots=True)
class StageCounts:
    """What one stage made of the pairs that it was given."""

    read: Counter[str] = field(default_factory=Counter)  # by source; of the first stage alone
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # by source and reason
    changed: Counter[str] = field(default_factory=Counter)  # pairs by kind of change
    num_changed: int = 0  # pairs with any change
    examples: dict[str, list[Example]] = field(
        default_factory=dict
    )  # by reason, the first different ones
    groups: dict[str, Counter[int]] = field(default_factory=dict)
    """By reason, as "duplicate": how many groups of so many alike there were, the kept one too."""

    def drop(self, reason: str, source: str, src: str, tgt: str) -> None:
        """Count a pair that is not kept, and show it if it is among the first."""
        self.dropped[source, reason] += 1
        self.show(reason, source, src, tgt)

    def show(self, reason: str, source: str, src: str, tgt: str) -> None:
        """Add an example, if there is room for one, of a pair that is counted elsewhere."""
        shown = self.examples.setdefault(reason, [])
        if len(shown) < MAX_EXAMPLES:
            example = Example(_clip(src), _clip(tgt), _clip(source))
            shown += [example] if example not in shown else []


def merge_stages(parts: Iterable[StageCounts]) -> StageCounts:
    """What several units of one or more stages did, in their order."""
    total = StageCounts()
    for part in parts:
        total.read.update(part.read)
        total.dropped.update(part.dropped)
        total.changed.update(part.changed)
        total.num_changed += part.num_changed
        for reason, examples in part.examples.items():
            shown = dict.fromkeys([*total.examples.get(reason, []), *examples])
            total.examples[reason] = list(shown)[:MAX_EXAMPLES]
        for reason, sizes in part.groups.items():
            total.groups[reason] = total.groups.get(reason, Counter()) + sizes
    return total


@dataclass(frozen=True, slots=True)
class PointCounts:
    """How often each code point occurs, for those that do."""

    points: npt.NDArray[np.uint32]  # sorted
    counts: Counts

    @classmethod
    def of(cls, points: npt.NDArray[np.uint32]) -> Self:
        """Count code points one by one."""
        counts = np.bincount(points)
        found = np.flatnonzero(counts)
        return cls(found.astype(np.uint32), counts[found].astype(np.int64))

    def __add__(self, other: "PointCounts") -> "PointCounts":
        points, places = np.unique(np.concatenate([self.points, other.points]), return_inverse=True)
        counts = np.zeros(len(points), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return PointCounts(points, counts)

    def __sub__(self, other: "PointCounts") -> "PointCounts":
        """Without those of some of the texts."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.points, other.points)] -= other.counts
        left = counts > 0
        return PointCounts(self.points[left], counts[left])

    @property
    def num_chars(self) -> int:
        return int(self.counts.sum())

    @property
    def num_bytes(self) -> int:
        """In UTF-8."""
        width = 1 + sum((self.points >= first).astype(np.int64) for first in (0x80, 0x800, 0x10000))
        return int(self.counts @ width)

    def count(self, point: int) -> int:
        """How often one code point occurs."""
        return int(self.counts[self.points == point].sum())


@dataclass(frozen=True, slots=True)
class TextCounts:
    """The characters of N texts."""

    points: PointCounts
    lengths: npt.NDArray[np.int64]  # [N]

    @classmethod
    def of(cls, text: str) -> Self:
        """Count the characters of whole lines, their ends apart."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ends = np.flatnonzero(points == END)
        counts = PointCounts.of(points)
        if len(ends):
            counts -= PointCounts(np.array([END], np.uint32), np.array([len(ends)], np.int64))
        return cls(counts, np.diff(ends, prepend=-1) - 1)


@dataclass(slots=True)
class SplitCounts:
    """What one split holds, or one partition of it; dictionaries are by language."""

    shards: list[ShardInfo] = field(default_factory=list)
    lengths: ShardLengths = field(default_factory=lambda: merge_lengths(()))
    sources: Counter[str] = field(default_factory=Counter)
    tags: Counter[int] = field(default_factory=Counter)  # by the id that stands in the sample
    points: dict[str, PointCounts] = field(default_factory=dict)
    pieces: dict[str, Counts] = field(default_factory=dict)  # [V] without tags
    char_lengths: dict[str, Counts] = field(default_factory=dict)  # [len(LENGTH_EDGES)]
    ratios: Counts = field(default_factory=lambda: np.zeros(len(RATIO_EDGES), np.int64))
    """Characters of tgt over those of src."""

    @property
    def samples(self) -> int:
        return self.sources.total()

    def points_of(self, *languages: str) -> PointCounts:
        """The code points of some languages together."""
        found = [self.points[language] for language in languages if language in self.points]
        return functools.reduce(operator.add, found, PointCounts.of(np.zeros(0, np.uint32)))

    def num_words(self, language: str) -> int:
        """Words of texts in normal form, between which there is one space."""
        return self.points[language].count(ord(" ")) + self.samples

    def add_texts(self, texts: Mapping[str, TextCounts]) -> None:
        """Add texts that are kept: by language, src before tgt."""
        for language, one in texts.items():
            self.points[language] = _plus(self.points.get(language), one.points)
            found = count_bins(one.lengths, LENGTH_EDGES)
            self.char_lengths[language] = _plus(self.char_lengths.get(language), found)
        lengths = [one.lengths for one in texts.values()]
        if len(lengths) > 1:
            self.ratios = self.ratios + count_bins(lengths[1] / lengths[0], RATIO_EDGES)

    def add_pieces(self, language: str, ids: npt.NDArray[np.unsignedinteger], size: int) -> None:
        """Count the ids of texts that are kept, tags apart, of a vocabulary of so many."""
        found = np.bincount(ids, minlength=size).astype(np.int64)
        self.pieces[language] = _plus(self.pieces.get(language), found)


def merge_splits(parts: Sequence[SplitCounts]) -> SplitCounts:
    """Partitions of one split, or both splits: their shards one after the other."""
    return SplitCounts(
        shards=[shard for part in parts for shard in part.shards],
        lengths=merge_lengths([part.lengths for part in parts]),
        sources=_sum_counters([part.sources for part in parts]),
        tags=_sum_counters([part.tags for part in parts]),
        points=_sum_values([part.points for part in parts]),
        pieces=_sum_values([part.pieces for part in parts]),
        char_lengths=_sum_values([part.char_lengths for part in parts]),
        ratios=functools.reduce(
            operator.add, (part.ratios for part in parts), SplitCounts().ratios
        ),
    )


def count_bins(
    values: npt.NDArray[np.integer] | npt.NDArray[np.floating],
    edges: Sequence[float],
    counts: Counts | None = None,
) -> Counts:
    """How many values lie in each bin, which begins at its edge and ends before the next one.

    `counts` says how many values are so, one each by default.
    """
    found = np.zeros(len(edges), np.int64)
    places = np.searchsorted(np.array(edges), values, "right") - 1
    np.add.at(found, places, 1 if counts is None else counts)
    return found


def _plus(total: Value | None, part: Value) -> Value:
    added: Value = part if total is None else operator.add(total, part)
    return added


def _sum_counters(parts: Iterable[Counter[Key]]) -> Counter[Key]:
    total: Counter[Key] = Counter()
    for part in parts:
        total.update(part)
    return total


def _sum_values(parts: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    total: dict[str, Value] = {}
    for part in parts:
        for language, value in part.items():
            total[language] = _plus(total.get(language), value)
    return total


def _clip(text: str) -> str:
    """What fits into a report, and can be written as UTF-8."""
    short = text if len(text) <= MAX_EXAMPLE_CHARS else text[: MAX_EXAMPLE_CHARS - 1] + "…"
    return short.encode(errors="replace").decode()
