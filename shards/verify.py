"""A data set version → everything that is wrong with it; an empty list means nothing is."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shards.block import Block
from shards.cli.console import Report, silent
from shards.dataset import Dataset
from shards.errors import ShardError
from shards.lengths import ShardLengths, lengths_of, load_lengths, same_lengths
from shards.manifest import Manifest, ShardInfo, Side, Split, SplitInfo


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
    findings = Findings()
    _check_tokenizer(dataset, findings)
    told = {split: _told_lengths(dataset, info, findings) for split, info in _splits(dataset)}
    # the smaller split first: of the other one no text need be held
    by_size = sorted(_splits(dataset), key=lambda entry: entry[1].samples)
    shards = [(split, shard) for split, info in by_size for shard in info.shards]
    ids: list[npt.NDArray[np.uint64]] = []
    leaks = {
        side: _Leaks(by_size[0][0] if len(by_size) > 1 else None)
        for side in dataset.manifest.languages
    }
    lengths: dict[Split, list[ShardLengths]] = {split: [] for split in dataset.manifest.splits}
    sources = np.zeros(len(dataset.manifest.sources), np.int64)
    for number, (split, shard) in enumerate(shards):
        blocks = _blocks(dataset, shard, findings)
        if blocks:
            lengths[split].append(lengths_of(blocks))
        for block in blocks:
            findings.problems += _block_problems(block, shard, dataset.manifest)
            ids.append(block.id.copy())  # a view would keep the whole shard
            for side, found in leaks.items():
                found.add(split, _text_keys(block, side, dataset.manifest.tags.prefix_tokens))
            sources += np.bincount(block.source, minlength=len(sources))[: len(sources)]
            findings.blocks += 1
            findings.samples += block.num_samples
            findings.tokens += len(block.src) + len(block.tgt)
        report("verify", number + 1, len(shards))
    if not findings.problems:
        findings.problems += _id_problems(ids)
        for split, info in _splits(dataset):
            findings.problems += _length_problems(lengths[split], told[split], info)
        for side, found in leaks.items():
            findings.problems += found.problems(side)
        findings.problems += [
            f"source {info.name!r} has {number} samples, the manifest says {info.samples}"
            for info, number in zip(dataset.manifest.sources, sources.tolist(), strict=True)
            if number != info.samples
        ]
    return findings


def _splits(dataset: Dataset) -> list[tuple[Split, SplitInfo]]:
    return list(dataset.manifest.splits.items())


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
    values = np.concatenate([np.zeros(0, np.uint64), *ids])
    values.sort()  # in place: a copy of all ids less
    if repeated := int((values[1:] == values[:-1]).sum()):
        yield f"{repeated} pair ids occur more than once; build the data set again"


def _length_problems(
    found: list[ShardLengths], told: list[ShardLengths], info: SplitInfo
) -> Iterator[str]:
    for shard, one, other in zip(info.shards, found, told, strict=True):
        if not same_lengths(one, other):
            yield (
                f"shard {shard.path}: its samples do not have the lengths that the table "
                f"{info.lengths.path} says; build the data set again"
            )
