"""Rows of one partition → shards in the store, and the counts the manifest needs."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import PointCounts, SplitCounts, StageCounts, TextCounts
from dataservice.prepare.known import KnownPairs, ShardFile, block_prefix, known_pairs
from dataservice.prepare.memo.cache import open_memo
from dataservice.prepare.memo.memo import WordMemo
from dataservice.prepare.ragged import Ragged
from dataservice.prepare.rows import Labels
from dataservice.prepare.split_file import SPLITS, SplitFile, SplitReader
from dataservice.prepare.tags import default_names, tag_ids
from dataservice.prepare.text.keys import in_sorted
from dataservice.prepare.text.lines import Lines
from dataservice.prepare.text.points import Mask
from dataservice.prepare.work.spill import SpillFile, spill
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
    is_last: bool
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
    src: Lines
    tgt: Lines
    points: tuple[PointCounts, PointCounts]  # of src and of tgt
    labels: Sequence[Labels]  # [L], all different
    label_rows: npt.NDArray[np.uint32]  # [N], which of the labels are each row's

    @classmethod
    def load(cls, file: SplitReader) -> "_Rows":
        lengths = file.lengths()
        return cls(
            ids=file.ids(),
            src=Lines.of_lengths(file.text("src"), lengths[0]),
            tgt=Lines.of_lengths(file.text("tgt"), lengths[1]),
            points=file.points(),
            labels=list(map(Labels.load, file.labels())),
            label_rows=file.label_rows(),
        )

    def drop(self, reasons: Mapping[str, Mask], funnel: StageCounts) -> "_Rows":
        """The rest, once the rows that each mask marks are counted; no row has two reasons."""
        for reason, marked in reasons.items():
            for row in np.flatnonzero(marked).tolist():
                source = self.labels[self.label_rows[row]].source
                funnel.drop(reason, source, self.src[row], self.tgt[row])
        dropped = functools.reduce(np.logical_or, reasons.values())
        if not dropped.any():
            return self
        gone = (TextCounts.of(side.take(dropped).text).points for side in (self.src, self.tgt))
        src, tgt = (all_points - some for all_points, some in zip(self.points, gone, strict=True))
        return _Rows(
            ids=self.ids[~dropped],
            src=self.src.take(~dropped),
            tgt=self.tgt.take(~dropped),
            points=(src, tgt),
            labels=self.labels,
            label_rows=self.label_rows[~dropped],
        )


def encode_partition(unit: EncodeUnit) -> EncodeResult:
    """Encode, tag and store one partition; a shard is closed at the configured size."""
    settings = unit.settings
    known = known_pairs(unit.known, settings.store_dir)
    cache = open_memo(
        settings.store_dir / unit.model.path, settings.cache_dir, settings.max_memo_words
    )
    funnel = StageCounts()
    splits: dict[Split, SplitCounts] = {}
    num_encoded = 0
    spilled: list[SpillFile] = []
    for split in SPLITS:
        rows = _read_rows(unit, split, funnel)
        src, tgt, encoded = _encode(rows, known, cache.memo)
        num_encoded += encoded
        too_long = np.maximum(src.lengths, tgt.lengths) > settings.max_tokens
        uneven = _uneven(src, tgt, settings) & ~too_long
        rows = rows.drop({"too_many_tokens": too_long, "token_ratio": uneven}, funnel)
        if len(rows.ids) < len(src):
            kept = np.flatnonzero(~(too_long | uneven))
            src, tgt = src.take(kept), tgt.take(kept)
        splits[split], lengths = _write(rows, src, tgt, split, unit)
        spilled += [*map(SpillFile.of_blob, splits[split].shards), lengths]
    cache.save(at_last=unit.is_last)
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
    with SplitFile(unit.folder, unit.partition, split).open() as file:
        rows, targets = _Rows.load(file), file.targets()
    if split == "val" and unit.settings.tgt_lang:
        conflicts = np.load(unit.folder / unit.conflicts_file, mmap_mode="r")
        leaked = in_sorted(targets, conflicts)
        rows = rows.drop({"val_target_in_train": leaked}, funnel)
    return rows


def _encode(rows: _Rows, known: KnownPairs, memo: WordMemo) -> tuple[Ragged, Ragged, int]:
    """The ids of both sides without tags, and how many pairs were not known from before."""
    places, is_known = known.find(rows.ids)
    new = np.flatnonzero(~is_known)
    all_new = len(new) == len(rows.ids)
    sides = (side if all_new else side.take(~is_known) for side in (rows.src, rows.tgt))
    src, tgt = (Ragged(*memo.encode_lines(side)) for side in sides)
    if all_new:
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
    sources, tags = _label_ids(rows, unit, counts)
    languages = [language for language in (settings.src_lang, settings.tgt_lang) if language]
    texts = [
        TextCounts(points, side.lengths)
        for points, side in zip(rows.points, (rows.src, rows.tgt), strict=True)
    ]
    counts.add_texts(dict(zip(languages, texts, strict=False)))
    for language, ids in zip(languages, (src, tgt), strict=False):
        counts.add_pieces(language, ids.values, unit.model.vocab_size)
    dtype = id_dtype(unit.model.vocab_size)
    # ids(tags + text) = ids(tags) + ids(text): other tags need no encoding
    src = Ragged(src.values.astype(dtype), src.lengths).after(tags.astype(dtype))
    tgt = Ragged(tgt.values.astype(dtype), tgt.lengths)
    prefix = block_prefix(split, unit.partition)
    lengths = _write_shards(_blocks(rows.ids, src, tgt, sources), prefix, settings, counts)
    name = SplitFile(unit.folder, unit.partition, split).lengths_path
    counts.lengths = merge_lengths(lengths)
    return counts, spill(unit.folder, name, dump_lengths(lengths))


def _label_ids(
    rows: _Rows, unit: EncodeUnit, counts: SplitCounts
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    """The source's number [N] and the three tag ids [N, 3] of each row; both are counted."""
    defaults = default_names(unit.settings)
    tags = np.array([tag_ids(one, unit.symbols, defaults) for one in rows.labels], np.uint32)
    tags = tags.reshape(-1, 3)
    sources = np.array([unit.sources[one.source] for one in rows.labels], np.uint16)
    numbers = np.bincount(rows.label_rows, minlength=len(rows.labels))
    for label in np.flatnonzero(numbers).tolist():
        number = int(numbers[label])
        counts.sources[rows.labels[label].source] += number
        for tag in tags[label].tolist():
            counts.tags[tag] += number
    return sources[rows.label_rows], tags[rows.label_rows]


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
