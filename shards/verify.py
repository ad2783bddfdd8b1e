"""A data set version → everything that is wrong with it; an empty list means nothing is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from shards.block import Block
from shards.cli.console import Report, silent
from shards.dataset import Dataset
from shards.errors import ShardError
from shards.lengths import ShardLengths, lengths_of, load_lengths, same_lengths
from shards.manifest import Manifest, ShardInfo, Side, Split, SplitInfo

_RANGE_BITS: Final = 4
_JOINED_BLOCKS: Final = 512


@dataclass(slots=True)
class Findings:
    """What a verification saw: counts of what is right, sentences for what is wrong."""

    shards: int = 0
    blocks: int = 0
    samples: int = 0
    tokens: int = 0
    problems: list[str] = field(default_factory=list)


def verify_dataset(dataset: Dataset, report: Report = silent) -> Findings:
    """Read every blob of a version and check bytes, counts, ids, tokens, tags and the split."""
    manifest, findings = dataset.manifest, Findings()
    _check_tokenizer(dataset, findings)
    # the smaller split first: of the other one no text need be held
    by_size = sorted(manifest.splits.items(), key=lambda entry: entry[1].samples)
    across = _AcrossBlocks(manifest, by_size[0][0] if len(by_size) > 1 else None)
    done, total = 0, sum(len(info.shards) for _, info in by_size)
    for split, info in by_size:
        told = _told_lengths(dataset, info, findings)
        for number, shard in enumerate(info.shards):
            blocks = _blocks(dataset, shard, findings)
            for block in blocks:
                findings.problems += _block_problems(block, shard, manifest)
                across.add(split, block)
                findings.blocks += 1
                findings.samples += block.num_samples
                findings.tokens += len(block.src) + len(block.tgt)
            if blocks and told:
                findings.problems += _length_problems(blocks, told[number], shard, info)
            done += 1
            report("verify", done, total)
    if not findings.problems:
        findings.problems += across.problems(manifest)
    return findings


class _AcrossBlocks:
    """What all blocks together must be like; the ids of all are held for it."""

    def __init__(self, manifest: Manifest, held: Split | None) -> None:
        self._ids: list[npt.NDArray[np.uint64]] = []
        self._last_ids: list[npt.NDArray[np.uint64]] = []
        self._leaks = {side: _Leaks(held) for side in manifest.languages}
        self._prefix = manifest.tags.prefix_tokens
        self._sources = np.zeros(len(manifest.sources), np.int64)

    def add(self, split: Split, block: Block) -> None:
        """Count one block; those of the split that is held come first."""
        self._last_ids.append(block.id.copy())  # a view would keep the whole shard
        if len(self._last_ids) >= _JOINED_BLOCKS:
            self._join_ids()
        for side, found in self._leaks.items():
            found.add(split, _text_keys(block, side, self._prefix))
        num_sources = len(self._sources)
        self._sources += np.bincount(block.source, minlength=num_sources)[:num_sources]

    def _join_ids(self) -> None:
        """Few large arrays are looked through faster than many small ones."""
        self._ids.append(np.concatenate([np.zeros(0, np.uint64), *self._last_ids]))
        self._last_ids.clear()

    def problems(self, manifest: Manifest) -> Iterator[str]:
        self._join_ids()
        yield from _id_problems(self._ids)
        for side, found in self._leaks.items():
            yield from found.problems(side)
        for info, number in zip(manifest.sources, self._sources.tolist(), strict=True):
            if number != info.samples:
                yield (
                    f"source {info.name!r} has {number} samples, the manifest says {info.samples}"
                )


def _check_tokenizer(dataset: Dataset, findings: Findings) -> None:
    try:
        dataset.read_blob(dataset.manifest.tokenizer)
    except ShardError as error:
        findings.problems.append(f"tokenizer: {error}")


def _told_lengths(dataset: Dataset, info: SplitInfo, findings: Findings) -> list[ShardLengths]:
    """What the table of a split says of its shards, or the reason why that is not to be used."""
    try:
        return load_lengths(dataset.read_blob(info.lengths), info)
    except ShardError as error:
        findings.problems.append(str(error))
        return []


def _blocks(dataset: Dataset, shard: ShardInfo, findings: Findings) -> list[Block]:
    """The blocks of one shard, or the reason why there are none among the findings."""
    try:
        blocks = dataset.read_shard(shard)
    except ShardError as error:
        findings.problems.append(str(error))
        return []
    findings.shards += 1
    return blocks


def _block_problems(block: Block, shard: ShardInfo, manifest: Manifest) -> Iterator[str]:
    size = manifest.tokenizer.vocab_size
    for side, ids in (("src", block.src), ("tgt", block.tgt)):
        if len(ids) and int(ids.max()) >= size:
            yield f"shard {shard.path}: {side} id {ids.max()} is outside the vocabulary of {size}"
    if len(block.source) and int(block.source.max()) >= len(manifest.sources):
        yield f"shard {shard.path}: source {block.source.max()} is not among the manifest's"
    tags = np.array(sorted(manifest.tags.symbols.values()))
    starts = np.cumsum(block.src_len, dtype=np.int64) - block.src_len
    prefix = manifest.tags.prefix_tokens
    if int(block.src_len.min()) < prefix:
        yield f"shard {shard.path}: a sample is shorter than its {prefix} tags"
        return
    positions = starts[:, None] + np.arange(prefix)
    if not np.isin(block.src[positions], tags).all():
        yield f"shard {shard.path}: a sample does not begin with {prefix} tags"
    if np.isin(block.src, tags).sum() != positions.size or np.isin(block.tgt, tags).any():
        yield f"shard {shard.path}: a tag stands inside a text"


def _text_keys(block: Block, side: Side, prefix: int) -> npt.NDArray[np.uint64]:
    """64 bits of each sample's text on one side [N]: a sum over ids, mixed with their places.

    `prefix` tags, which stand before sources alone, are left out.
    """
    ids, lengths = (block.src, block.src_len) if side == "src" else (block.tgt, block.tgt_len)
    prefix = prefix if side == "src" else 0
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    places = np.arange(len(ids)) - np.repeat(starts, lengths)
    words = ids.astype(np.uint64) << np.uint64(32) | places.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ words >> np.uint64(shift)) * np.uint64(factor)
    words ^= words >> np.uint64(31)
    words[places < prefix] = 0
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words)])
    return np.asarray(sums[starts + lengths] - sums[starts], np.uint64)


class _Leaks:
    """The texts of one split, which are added first, that stand in another one as well."""

    def __init__(self, held: Split | None) -> None:
        self._split = held
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._held: npt.NDArray[np.uint64] | None = None  # sorted, once all are there
        self._shared: list[npt.NDArray[np.uint64]] = [np.zeros(0, np.uint64)]

    def add(self, split: Split, keys: npt.NDArray[np.uint64]) -> None:
        """Hold the keys of a block's texts, or look for them among those that are held."""
        if split == self._split:
            self._keys.append(keys)
            return
        if self._held is None:
            self._held = np.unique(np.concatenate([np.zeros(0, np.uint64), *self._keys]))
        if len(self._held):
            places = np.searchsorted(self._held, keys)
            places[places == len(self._held)] = 0
            self._shared.append(keys[self._held[places] == keys])

    def problems(self, side: Side) -> Iterator[str]:
        if shared := len(np.unique(np.concatenate(self._shared))):
            name = "source" if side == "src" else "target"
            yield f"{shared} {name} sentences stand in both train and val; build the data set again"


def _id_problems(ids: list[npt.NDArray[np.uint64]]) -> Iterator[str]:
    repeated = 0
    for number in range(2**_RANGE_BITS):  # so that few of them are there twice
        part = np.concatenate([one[one >> np.uint64(64 - _RANGE_BITS) == number] for one in ids])
        part.sort()
        repeated += int((part[1:] == part[:-1]).sum())
    if repeated:
        yield f"{repeated} pair ids occur more than once; build the data set again"


def _length_problems(
    blocks: list[Block], told: ShardLengths, shard: ShardInfo, info: SplitInfo
) -> Iterator[str]:
    if not same_lengths(lengths_of(blocks), told):
        yield (
            f"shard {shard.path}: its samples do not have the lengths that the table "
            f"{info.lengths.path} says; build the data set again"
        )
