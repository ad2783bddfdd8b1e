"""Chunks → cleaned rows by partition → unique rows, split into train and val.

A partition holds every pair whose source sentence hashes into it, so that duplicates meet and a
split is decided without looking at any other partition.
"""

import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dataservice.prepare.clean import clean
from dataservice.prepare.filters import drop_reason
from dataservice.prepare.sources import Chunk, parse_chunk
from dataservice.prepare.tags import Tags, resolve_tags
from dataservice.settings import BuildSettings
from shards.manifest import Split
from shards.sample import TAG_KINDS, pair_id, pair_key

SPLITS: Final[tuple[Split, ...]] = ("train", "val")
_RAW_CHARS: Final = 8  # an entity is up to so much longer than its character
_NOT_WORD = re.compile(r"[\W_]+")


class Row(NamedTuple):
    """One kept pair, as it lies in the files between the stages: a JSON list a line."""

    key: str
    ru: str
    en: str
    author: str
    city: str
    year: str
    source: str

    @property
    def tags(self) -> Tags:
        return Tags(self.author, self.city, self.year)


@dataclass(frozen=True, slots=True)
class CleanUnit:
    """Work of one process: clean and filter one chunk file into rows sorted by partition."""

    chunk: Chunk
    rows_file: Path
    num_partitions: int
    settings: BuildSettings


@dataclass(frozen=True, slots=True)
class CleanResult:
    """Where the rows of each partition begin in the file, and what became of every pair."""

    rows_file: Path
    offsets: tuple[int, ...]
    read: Counter[str]  # by source
    dropped: Counter[tuple[str, str]]  # by source and reason
    changed: int


@dataclass(frozen=True, slots=True)
class SplitUnit:
    """Work of one process: deduplicate and split one partition."""

    partition: int
    cleaned: tuple[CleanResult, ...]
    folder: Path
    settings: BuildSettings


@dataclass(frozen=True, slots=True)
class SplitResult:
    """One partition's rows by split, in pseudo-random order, and the counts they give."""

    rows_files: dict[Split, Path]
    targets_files: dict[Split, Path]  # npy, uint64: folded target sentences
    dropped: Counter[tuple[str, str]]
    train_bytes: int
    tags: dict[str, Counter[str]]  # by kind


def sentence_key(text: str) -> int:
    """64 bits of a sentence, case and punctuation aside: what must not stand in both splits."""
    folded = _NOT_WORD.sub(" ", text.casefold()).strip() or text
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest(), "big")


def split_of(ru: str, settings: BuildSettings) -> Split:
    """The split of a source sentence: a pure function of its words, the seed and the fraction."""
    seeded = hashlib.blake2b(
        sentence_key(ru).to_bytes(8, "big"), digest_size=8, key=str(settings.split_seed).encode()
    )
    position = int.from_bytes(seeded.digest(), "big") / 2**64
    return "val" if position < settings.val_fraction else "train"


def clean_chunk(unit: CleanUnit) -> CleanResult:
    """Clean, filter and tag the pairs of one chunk; write what is kept by partition."""
    rows: list[list[Row]] = [[] for _ in range(unit.num_partitions)]
    read: Counter[str] = Counter()
    dropped: Counter[tuple[str, str]] = Counter()
    changed = 0
    for pair in parse_chunk(unit.chunk):
        source = clean(pair.source) or unit.chunk.source.label
        read[source] += 1
        if max(len(pair.ru), len(pair.en)) > _RAW_CHARS * unit.settings.max_chars:
            dropped[source, "too_long"] += 1  # cleaning would not shorten it to what is kept
            continue
        ru, en = clean(pair.ru), clean(pair.en)
        changed += (ru, en) != (pair.ru, pair.en)
        if reason := drop_reason(ru, en, unit.settings):
            dropped[source, reason] += 1
            continue
        tags = resolve_tags(pair.author, pair.city, pair.year, unit.settings)
        row = Row(pair_key(ru, en).hex(), ru, en, tags.author, tags.city, tags.year, source)
        rows[sentence_key(ru) * unit.num_partitions >> 64].append(row)
    offsets = [0]
    with unit.rows_file.open("wb") as file:
        for partition in rows:
            file.writelines(_dump(row) for row in partition)
            offsets.append(file.tell())
    return CleanResult(unit.rows_file, tuple(offsets), read, dropped, changed)


def split_partition(unit: SplitUnit) -> SplitResult:
    """Drop duplicates, keeping the first one read, and order the rest by their keys."""
    unique, dropped = _unique_rows(unit)
    ordered: dict[Split, list[Row]] = {"train": [], "val": []}
    for key in sorted(unique):
        row = unique[key]
        ordered[split_of(row.ru, unit.settings)].append(row)
    result = SplitResult(
        rows_files={split: unit.folder / f"{unit.partition:05d}.{split}" for split in SPLITS},
        targets_files={
            split: unit.folder / f"{unit.partition:05d}.{split}.npy" for split in SPLITS
        },
        dropped=dropped,
        train_bytes=sum(len(row.ru.encode()) + len(row.en.encode()) for row in ordered["train"]),
        tags={kind: Counter(getattr(row, kind) for row in unique.values()) for kind in TAG_KINDS},
    )
    for split, rows in ordered.items():
        result.rows_files[split].write_bytes(b"".join(map(_dump, rows)))
        targets = np.array([sentence_key(row.en) for row in rows], np.uint64)
        save_keys(result.targets_files[split], np.unique(targets))
    return result


def _unique_rows(unit: SplitUnit) -> tuple[dict[str, Row], Counter[tuple[str, str]]]:
    unique: dict[str, Row] = {}
    ids: set[int] = set()
    dropped: Counter[tuple[str, str]] = Counter()
    for cleaned in unit.cleaned:
        start, end = cleaned.offsets[unit.partition : unit.partition + 2]
        with cleaned.rows_file.open("rb") as file:
            file.seek(start)
            for line in file.read(end - start).splitlines():
                row = _load(line)
                reason: Literal["duplicate", "id_collision"] | None = None
                if row.key in unique:
                    reason = "duplicate"
                elif pair_id(bytes.fromhex(row.key)) in ids:
                    reason = "id_collision"
                if reason:
                    dropped[row.source, reason] += 1
                    continue
                unique[row.key] = row
                ids.add(pair_id(bytes.fromhex(row.key)))
    return unique, dropped


def save_keys(path: Path, keys: npt.NDArray[np.uint64]) -> None:
    """Write an array by way of memory: numpy's own error does not say that the disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, keys)
    path.write_bytes(buffer.getvalue())


def read_rows(path: Path) -> list[Row]:
    """The rows of one split of one partition, in order."""
    return [_load(line) for line in path.read_bytes().splitlines()]


def _dump(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _load(line: bytes) -> Row:
    return Row(*json.loads(line))
