"""Rows of one partition from all chunks → unique rows, in order, split into train and val.

A partition holds every pair whose source sentence hashes into it, so that duplicates meet and a
split is decided without looking at any other partition.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import StageCounts
from dataservice.prepare.keys import Keys, combine, in_sorted, mix
from dataservice.prepare.rows import (
    BucketFile,
    Labels,
    RowKeys,
    buckets_of,
    count_labels,
    dump_array,
    load_columns,
    open_starts,
)
from dataservice.prepare.spill import SpillFile, spill
from dataservice.settings import BuildSettings
from shards.manifest import Split
from shards.sample import TAG_KINDS

SPLITS: Final[tuple[Split, ...]] = ("train", "val")


@dataclass(frozen=True, slots=True)
class SplitUnit:
    """Work of one process: deduplicate and split one partition."""

    partition: int
    num_partitions: int
    num_chunks: int
    folder: Path
    starts_file: str
    near_file: str | None  # npy, uint64, sorted: ids of pairs that resemble earlier ones
    settings: BuildSettings

    @property
    def label(self) -> str:
        return f"partition {self.partition}"


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """Where one split of one partition lies, below the build's folder."""

    folder: Path
    partition: int
    split: Split

    def name(self, ending: str) -> str:
        return f"split/{self.partition:05d}.{self.split}.{ending}"

    @property
    def lines(self) -> Path:
        """The rows, in order of their ids."""
        return self.folder / self.name("rows")

    @property
    def ids(self) -> Path:
        """npy, uint64 [N]: pair ids, ascending."""
        return self.folder / self.name("ids.npy")

    @property
    def targets(self) -> Path:
        """npy, uint64 [N]: folded target sentences, row by row."""
        return self.folder / self.name("targets.npy")

    @property
    def lengths(self) -> Path:
        """How long the samples of each shard are, once they are encoded."""
        return self.folder / self.name("lengths")

    def write(
        self, lines: Sequence[bytes], keys: npt.NDArray[np.void]
    ) -> tuple[SpillFile, SpillFile, SpillFile]:
        """Write rows that are in order."""
        return (
            spill(self.folder, self.name("rows"), b"".join(lines)),
            spill(self.folder, self.name("ids.npy"), dump_array(keys["id"])),
            spill(self.folder, self.name("targets.npy"), dump_array(keys["tgt"])),
        )


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What one partition holds."""

    funnel: StageCounts
    train_bytes: int  # of the lines of train, labels apart
    num_val: int
    tags: dict[str, Counter[str]]  # by kind
    spilled: tuple[SpillFile, ...]

    def files(self) -> tuple[SpillFile, ...]:
        return self.spilled


def split_partition(unit: SplitUnit) -> SplitResult:
    """Drop repeated pairs, keeping the first one read, and order the rest by their ids."""
    lines, keys = _read_rows(unit)
    funnel = StageCounts()
    reasons = _repeats(keys, funnel, near=unit.settings.near_duplicates != "off")
    if unit.near_file is not None:
        near = np.load(unit.folder / unit.near_file, mmap_mode="r")
        reasons[in_sorted(keys["id"], near) & (reasons == 0)] = _NEAR
    _drop(lines, reasons, funnel)
    kept = np.flatnonzero(reasons == 0)
    kept = kept[np.argsort(keys["id"][kept])]
    is_val = validates(keys["src"][kept], unit.settings)
    spilled: list[SpillFile] = []
    labels: dict[Split, Counter[str]] = {}
    splits: tuple[tuple[Split, npt.NDArray[np.int64]], ...] = (
        ("train", kept[~is_val]),
        ("val", kept[is_val]),
    )
    for split, rows in splits:
        chosen = [lines[row] for row in rows.tolist()]
        spilled += SplitFiles(unit.folder, unit.partition, split).write(chosen, keys[rows])
        labels[split] = count_labels(chosen)
    label_bytes = sum(len(text.encode()) * number for text, number in labels["train"].items())
    tags = _count_labels(labels["train"] + labels["val"])
    return SplitResult(
        funnel=funnel,
        train_bytes=spilled[0].num_bytes - label_bytes,
        num_val=int(is_val.sum()),
        tags=tags,
        spilled=tuple(spilled),
    )


def _drop(lines: Sequence[bytes], reasons: npt.NDArray[np.uint8], funnel: StageCounts) -> None:
    for number in np.unique(reasons[reasons > 0]).tolist():
        rows = [lines[row] for row in np.flatnonzero(reasons == number).tolist()]
        for labels, count in count_labels(rows).items():
            funnel.dropped[Labels.load(labels).source, _REASONS[number]] += count
        for src, tgt, labels in zip(*load_columns(b"".join(rows[:_SHOWN])), strict=True):
            funnel.show(_REASONS[number], Labels.load(labels).source, src, tgt)


def _count_labels(labels: Counter[str]) -> dict[str, Counter[str]]:
    """How many rows carry each name, by kind of tag."""
    tags: dict[str, Counter[str]] = {kind: Counter() for kind in TAG_KINDS}
    for text, number in labels.items():
        one = Labels.load(text)
        for kind in TAG_KINDS:
            tags[kind][getattr(one, kind)] += number
    return tags


def _read_rows(unit: SplitUnit) -> tuple[list[bytes], npt.NDArray[np.void]]:
    """Lines and keys of the partition, in the order in which they were read."""
    buckets = buckets_of(unit.partition, unit.num_partitions)
    starts = open_starts(unit.folder / unit.starts_file)
    lines: list[bytes] = []
    keys = [np.zeros(0, RowKeys.DTYPE)]
    for chunk in range(unit.num_chunks):
        found, rows = BucketFile.of_chunk(unit.folder, chunk).read(starts[chunk], buckets)
        lines += found
        keys.append(rows)
    return lines, np.concatenate(keys)


_REASONS: Final = ("", "duplicate", "id_collision", "near_duplicate")
_NEAR: Final = 3
_SHOWN: Final = 100  # of which few are examples


def _repeats(
    keys: npt.NDArray[np.void], funnel: StageCounts, *, near: bool
) -> npt.NDArray[np.uint8]:
    """Why each row is dropped, as an index into _REASONS; the first of equal rows is kept."""
    reasons = np.zeros(len(keys), np.uint8)
    first = _first_of_each(keys["id"])
    later = first != np.arange(len(keys))
    reasons[later] = np.where(keys["rest"][later] == keys["rest"][first[later]], 1, 2)
    funnel.groups["duplicate"] = _group_sizes(first[reasons == 1])
    if near:
        rows = np.flatnonzero(reasons == 0)
        first = _first_of_each(combine(keys["src"][rows], keys["tgt"][rows]))
        later = first != np.arange(len(rows))
        reasons[rows[later]] = _NEAR
        funnel.groups["near_duplicate"] = _group_sizes(first[later])
    return reasons


def _group_sizes(first: npt.NDArray[np.int64]) -> Counter[int]:
    """How many groups have so many rows, given the first row of the group of each later one."""
    _, later = np.unique(first, return_counts=True)
    return Counter((later + 1).tolist())


def _first_of_each(values: Keys) -> npt.NDArray[np.int64]:
    """For every value the place of the first that equals it [N]."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


def validates(src: Keys, settings: BuildSettings) -> npt.NDArray[np.bool_]:
    """Whether a source sentence is in val [N]: a function of its key, the seed and the fraction."""
    seed = hashlib.blake2b(str(settings.split_seed).encode(), digest_size=8).digest()
    positions = mix(src ^ np.uint64(int.from_bytes(seed, "big")))
    if settings.val_fraction <= 0:
        return np.zeros(len(src), np.bool_)
    limit = min(int(settings.val_fraction * 2**64), 2**64 - 1)
    return np.asarray(positions < np.uint64(limit))
