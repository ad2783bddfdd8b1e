"""Rows of one partition from all chunks → unique rows, in order, split into train and val.

A partition holds every pair whose source sentence hashes into it, so that duplicates meet and a
split is decided without looking at any other partition.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import StageCounts
from dataservice.prepare.rows import (
    NUM_BUCKETS,
    BucketFile,
    Columns,
    Labels,
    RowBuffer,
    buckets_of,
    read_starts,
)
from dataservice.prepare.split_file import SplitFile
from dataservice.prepare.text.keys import Keys, combine, first_of_each, in_sorted, mix
from dataservice.prepare.work.spill import SpillFile
from dataservice.settings import BuildSettings
from shards.manifest import Split
from shards.sample import TAG_KINDS

_MIN_UNITS: Final = 64
_MOST_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class SplitUnit:
    """Work of one process: deduplicate and split neighbouring partitions, one after the other.

    What each chunk holds of them is read at once; else there were as many reads as chunks times
    partitions.
    """

    partitions: range
    num_partitions: int
    num_chunks: int
    folder: Path
    starts_file: str
    near_file: str | None  # npy, uint64, sorted: ids of pairs that resemble earlier ones
    settings: BuildSettings

    @property
    def label(self) -> str:
        first, last = self.partitions[0], self.partitions[-1]
        return f"partition {first}" if first == last else f"partitions {first} to {last}"


def split_units(num_partitions: int) -> list[range]:
    """The partitions of each unit: few at a time, so that there is work for many processes."""
    size = min(max(1, num_partitions // _MIN_UNITS), _MOST_AT_ONCE)
    starts = range(0, num_partitions, size)
    return [range(start, min(start + size, num_partitions)) for start in starts]


@dataclass(frozen=True, slots=True)
class Partition:
    """What one partition holds."""

    funnel: StageCounts
    train_bytes: int  # of both sides of train, with their ends of lines
    num_val: int
    tags: dict[str, Counter[str]]  # by kind
    spilled: tuple[SpillFile, ...]


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The partitions of one unit."""

    partitions: tuple[Partition, ...]

    def files(self) -> tuple[SpillFile, ...]:
        return tuple(file for partition in self.partitions for file in partition.spilled)


def split_partitions(unit: SplitUnit) -> SplitResult:
    """Drop repeated pairs, keeping the first one read, and order the rest by their ids."""
    rows = zip(unit.partitions, _read_rows(unit), strict=True)
    return SplitResult(tuple(_split(unit, number, *row) for number, row in rows))


def _split(unit: SplitUnit, partition: int, texts: bytes, keys: npt.NDArray[np.void]) -> Partition:
    columns = Columns.load(texts)
    funnel = StageCounts()
    reasons = _repeats(keys, funnel, near=unit.settings.near_duplicates != "off")
    if unit.near_file is not None:
        near = np.load(unit.folder / unit.near_file, mmap_mode="r")
        reasons[in_sorted(keys["id"], near) & (reasons == 0)] = _NEAR
    _drop(columns, reasons, funnel)
    kept = np.flatnonzero(reasons == 0)
    kept = kept[np.argsort(keys["id"][kept])]
    is_val = validates(keys["src"][kept], unit.settings)
    spilled: list[SpillFile] = []
    num_bytes: dict[Split, int] = {}
    tags: dict[str, Counter[str]] = {kind: Counter() for kind in TAG_KINDS}
    splits: tuple[tuple[Split, npt.NDArray[np.int64]], ...] = (
        ("train", kept[~is_val]),
        ("val", kept[is_val]),
    )
    for split, rows in splits:
        chosen = columns.take(rows)
        file, num_bytes[split] = SplitFile(unit.folder, partition, split).write(chosen, keys[rows])
        spilled.append(file)
        _count_tags(chosen.labels, tags)
    return Partition(
        funnel=funnel,
        train_bytes=num_bytes["train"],
        num_val=int(is_val.sum()),
        tags=tags,
        spilled=tuple(spilled),
    )


def _drop(columns: Columns, reasons: npt.NDArray[np.uint8], funnel: StageCounts) -> None:
    for number in np.unique(reasons[reasons > 0]).tolist():
        rows = np.flatnonzero(reasons == number)
        dropped = columns.take(rows)
        for labels, count in Counter(dropped.labels).items():
            funnel.dropped[_labels(labels).source, _REASONS[number]] += count
        shown = (column[:_SHOWN] for column in (dropped.src, dropped.tgt, dropped.labels))
        for src, tgt, labels in zip(*shown, strict=True):
            funnel.show(_REASONS[number], _labels(labels).source, src.decode(), tgt.decode())


def _count_tags(labels: Iterable[bytes], tags: dict[str, Counter[str]]) -> None:
    """Add how many rows carry each name, by kind of tag."""
    for text, number in Counter(labels).items():
        one = _labels(text)
        for kind in TAG_KINDS:
            tags[kind][getattr(one, kind)] += number


def _labels(text: bytes) -> Labels:
    return Labels.load(text.decode())


def _read_rows(unit: SplitUnit) -> Iterator[tuple[bytes, npt.NDArray[np.void]]]:
    """Texts and keys of each partition, in the order in which they were read."""
    buckets = [buckets_of(partition, unit.num_partitions) for partition in unit.partitions]
    bounds = [begin for begin, _ in buckets] + [buckets[-1][1]]
    starts = read_starts(unit.folder / unit.starts_file, [*bounds, NUM_BUCKETS], unit.num_chunks)
    num_rows, starts = starts[-1, :, 0].tolist(), starts[:-1]
    sizes = np.diff(starts.sum(axis=1), axis=0).tolist()
    parts = [RowBuffer(*size) for size in sizes]
    for chunk in range(unit.num_chunks):
        file = BucketFile.of_chunk(unit.folder, chunk)
        file.read_into(starts[:, chunk], num_rows[chunk], parts)
    while parts:
        yield parts.pop(0).rows()


_REASONS: Final = ("", "duplicate", "id_collision", "near_duplicate")
_COLLISION: Final = 2
_NEAR: Final = 3
_SHOWN: Final = 100  # of which few are examples


def _repeats(
    keys: npt.NDArray[np.void], funnel: StageCounts, *, near: bool
) -> npt.NDArray[np.uint8]:
    """Why each row is dropped, as an index into _REASONS; the first of equal rows is kept."""
    reasons = np.zeros(len(keys), np.uint8)
    first = first_of_each(keys["id"])
    later = first != np.arange(len(keys))
    reasons[later] = np.where(keys["rest"][later] == keys["rest"][first[later]], 1, _COLLISION)
    no_collision = reasons != _COLLISION
    funnel.groups["duplicate"] = _group_sizes(first[no_collision], keys["copies"][no_collision])
    if near:
        rows = np.flatnonzero(reasons == 0)
        first = first_of_each(combine(keys["src"][rows], keys["tgt"][rows]))
        reasons[rows[first != np.arange(len(rows))]] = _NEAR
        funnel.groups["near_duplicate"] = _group_sizes(first, np.ones(len(rows)))
    return reasons


def _group_sizes(first: npt.NDArray[np.int64], copies: npt.NDArray[np.number]) -> Counter[int]:
    """How many groups have so many pairs, given the first row of each one's and its copies."""
    sizes = np.bincount(first, copies).astype(np.int64)
    return Counter(sizes[sizes > 1].tolist())


def validates(src: Keys, settings: BuildSettings) -> npt.NDArray[np.bool_]:
    """Whether a source sentence is in val [N]: a function of its key, the seed and the fraction."""
    seed = hashlib.blake2b(str(settings.split_seed).encode(), digest_size=8).digest()
    positions = mix(src ^ np.uint64(int.from_bytes(seed, "big")))
    if settings.val_fraction <= 0:
        return np.zeros(len(src), np.bool_)
    limit = min(int(settings.val_fraction * 2**64), 2**64 - 1)
    return np.asarray(positions < np.uint64(limit))
