"""Rows of one partition → shards in the store, and the counts the manifest needs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import SplitCounts, StageCounts
from dataservice.prepare.keys import in_sorted
from dataservice.prepare.known import KnownPairs, ShardFile, block_prefix, known_pairs
from dataservice.prepare.memo_cache import open_memo
from dataservice.prepare.partition import SPLITS, SplitFiles
from dataservice.prepare.points import CodePoints, Mask
from dataservice.prepare.ragged import Ragged
from dataservice.prepare.rows import Labels, load_columns
from dataservice.prepare.spill import SpillFile, spill
from dataservice.prepare.tags import default_names, tag_ids
from dataservice.settings import BuildSettings
from shards.block import MAX_BLOCK_SAMPLES, Block, id_dtype
from shards.lengths import ShardLengths, dump_lengths, lengths_of, merge_lengths
from shards.manifest import SHARD_SUFFIX, Split, TokenizerInfo
from shards.store import LocalStore
from shards.writer import write_shard

_ROW_BYTES: Final = 14  # of a sample beside its ids: two lengths, id, source


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """Work of one process: encode one partition and store its shards."""

    partition: int
    folder: Path
    conflicts_file: str  # npy, uint64, sorted: target sentences of val that train holds too
    model: TokenizerInfo
    symbols: dict[str, int]
    sources: dict[str, int]  # name to number
    known: tuple[ShardFile, ...]  # of the last version, where pairs of this partition may lie
    settings: BuildSettings

    @property
    def label(self) -> str:
        return f"partition {self.partition}"


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """Both splits of one partition, what was dropped on the way, and how many were encoded."""

    splits: dict[Split, SplitCounts]
    funnel: StageCounts
    num_encoded: int
    spilled: tuple[SpillFile, ...]

    def files(self) -> tuple[SpillFile, ...]:
        return self.spilled


@dataclass(slots=True)
class _Rows:
    """The N rows of one split of one partition."""

    ids: npt.NDArray[np.uint64]
    src: Sequence[str]
    tgt: Sequence[str]
    labels: Sequence[str]

    def take(self, kept: Mask) -> "_Rows":
        wanted = kept.tolist()
        columns = (list(compress(column, wanted)) for column in (self.src, self.tgt, self.labels))
        return _Rows(self.ids[kept], *columns)

    def drop(self, reason: str, rows: npt.NDArray[np.int64], funnel: StageCounts) -> None:
        for row in rows.tolist():
            source = Labels.load(self.labels[row]).source
            funnel.drop(reason, source, self.src[row], self.tgt[row])


def encode_partition(unit: EncodeUnit) -> EncodeResult:
    """Encode, tag and store one partition; a shard is closed at the configured size."""
    known = known_pairs(unit.known, unit.settings.store_dir)
    funnel = StageCounts()
    splits: dict[Split, SplitCounts] = {}
    num_encoded = 0
    spilled: list[SpillFile] = []
    for split in SPLITS:
        rows = _read_rows(unit, split, funnel)
        src, tgt, encoded = _encode(rows, known, unit)
        num_encoded += encoded
        too_long = np.maximum(src.lengths, tgt.lengths) > unit.settings.max_tokens
        uneven = _uneven(src, tgt, unit.settings) & ~too_long
        if (dropped := too_long | uneven).any():
            rows.drop("too_many_tokens", np.flatnonzero(too_long), funnel)
            rows.drop("token_ratio", np.flatnonzero(uneven), funnel)
            kept = np.flatnonzero(~dropped)
            rows, src, tgt = rows.take(~dropped), src.take(kept), tgt.take(kept)
        splits[split], lengths = _write(rows, src, tgt, split, unit)
        spilled += [*map(SpillFile.of_blob, splits[split].shards), lengths]
    return EncodeResult(splits, funnel, num_encoded, tuple(spilled))


def _uneven(src: Ragged, tgt: Ragged, settings: BuildSettings) -> Mask:
    """Whether one side has too many tokens for those of the other [N]."""
    if not (settings.max_token_ratio and settings.tgt_lang):
        return np.zeros(len(src), np.bool_)
    shorter, longer = (pick(src.lengths, tgt.lengths) for pick in (np.minimum, np.maximum))
    slack = settings.ratio_slack_tokens
    return np.asarray(longer + slack > settings.max_token_ratio * (shorter + slack))


def _read_rows(unit: EncodeUnit, split: Split, funnel: StageCounts) -> _Rows:
    """The rows of a split; those of val whose target stands in train are dropped."""
    files = SplitFiles(unit.folder, unit.partition, split)
    rows = _Rows(np.load(files.ids), *load_columns(files.lines.read_bytes()))
    if split == "val" and unit.settings.tgt_lang:
        conflicts = np.load(unit.folder / unit.conflicts_file, mmap_mode="r")
        leaked = in_sorted(np.load(files.targets), conflicts)
        rows.drop("val_target_in_train", np.flatnonzero(leaked), funnel)
        rows = rows.take(~leaked)
    return rows


def _encode(rows: _Rows, known: KnownPairs, unit: EncodeUnit) -> tuple[Ragged, Ragged, int]:
    """The ids of both sides without tags, and how many pairs were not known from before."""
    settings = unit.settings
    cache = open_memo(
        settings.store_dir / unit.model.path, settings.cache_dir, settings.max_memo_words
    )
    places, is_known = known.find(rows.ids)
    new = np.flatnonzero(~is_known)
    fresh = rows.take(~is_known) if len(new) < len(rows.ids) else rows
    src, tgt = (Ragged(*cache.memo.encode(side)) for side in (fresh.src, fresh.tgt))
    cache.save()
    if len(new) == len(rows.ids):
        return src, tgt, len(new)
    # rows of both kinds, one kind after the other, then put into their order
    order = np.argsort(np.concatenate([new, np.flatnonzero(is_known)]))
    src = Ragged.join([src, known.src.take(places[is_known])]).take(order)
    tgt = Ragged.join([tgt, known.tgt.take(places[is_known])]).take(order)
    return src, tgt, len(new)


def _write(
    rows: _Rows, src: Ragged, tgt: Ragged, split: Split, unit: EncodeUnit
) -> tuple[SplitCounts, SpillFile]:
    settings = unit.settings
    counts = SplitCounts()
    sources, tags = _label_ids(rows.labels, unit, counts)
    sides = [(settings.src_lang, rows.src, src), (settings.tgt_lang, rows.tgt, tgt)]
    sides = [side for side in sides if side[0]]
    counts.add_texts({language: CodePoints.of(texts) for language, texts, _ in sides})
    for language, _, ids in sides:
        counts.add_pieces(language, ids.values, unit.model.vocab_size)
    dtype = id_dtype(unit.model.vocab_size)
    # ids(tags + text) = ids(tags) + ids(text): other tags need no encoding
    src = Ragged(src.values.astype(dtype), src.lengths).after(tags.astype(dtype))
    tgt = Ragged(tgt.values.astype(dtype), tgt.lengths)
    prefix = block_prefix(split, unit.partition)
    lengths = _write_shards(_blocks(rows.ids, src, tgt, sources), prefix, settings, counts)
    name = SplitFiles(unit.folder, unit.partition, split).name("lengths")
    counts.lengths = merge_lengths(lengths)
    return counts, spill(unit.folder, name, dump_lengths(lengths))


def _label_ids(
    labels: Sequence[str], unit: EncodeUnit, counts: SplitCounts
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    """The source's number [N] and the three tag ids [N, 3] of each row; both are counted."""
    distinct = list(dict.fromkeys(labels))
    numbers = {text: number for number, text in enumerate(distinct)}
    rows = np.fromiter(map(numbers.__getitem__, labels), np.int64, len(labels))
    loaded = [Labels.load(text) for text in distinct]
    defaults = default_names(unit.settings)
    tags = np.array([tag_ids(one, unit.symbols, defaults) for one in loaded], np.uint32)
    tags = tags.reshape(-1, 3)
    sources = np.array([unit.sources[one.source] for one in loaded], np.uint16)
    for one, ids, number in zip(
        loaded, tags.tolist(), np.bincount(rows, minlength=len(distinct)).tolist(), strict=True
    ):
        counts.sources[one.source] += number
        for tag in ids:
            counts.tags[tag] += number
    return sources[rows], tags[rows]


def _blocks(
    ids: npt.NDArray[np.uint64], src: Ragged, tgt: Ragged, sources: npt.NDArray[np.uint16]
) -> Iterator[Block]:
    src_starts, tgt_starts = src.starts, tgt.starts
    for begin in range(0, len(ids), MAX_BLOCK_SAMPLES):
        end = min(begin + MAX_BLOCK_SAMPLES, len(ids))
        yield Block(
            src=src.values[src_starts[begin] : src_starts[end]],
            tgt=tgt.values[tgt_starts[begin] : tgt_starts[end]],
            src_len=src.lengths[begin:end].astype(np.uint16),
            tgt_len=tgt.lengths[begin:end].astype(np.uint16),
            id=ids[begin:end],
            source=sources[begin:end],
        )


def _write_shards(
    blocks: Iterable[Block], prefix: str, settings: BuildSettings, counts: SplitCounts
) -> list[ShardLengths]:
    """Store the blocks as shards, which are counted; how long the samples of each are."""
    store = LocalStore(settings.store_dir)
    waiting: list[tuple[str, Block]] = []
    lengths: list[ShardLengths] = []
    size = 0

    def close_shard() -> None:
        data, info = write_shard(waiting, zstd_level=settings.zstd_level)
        store.put_blob(data, SHARD_SUFFIX)
        counts.shards.append(info)
        lengths.append(lengths_of([block for _, block in waiting]))
        waiting.clear()

    for number, block in enumerate(blocks):
        waiting.append((f"{prefix}-{number:06d}", block))
        size += block.src.nbytes + block.tgt.nbytes + _ROW_BYTES * block.num_samples
        if size >= settings.shard_bytes:
            close_shard()
            size = 0
    if waiting:
        close_shard()
    return lengths
