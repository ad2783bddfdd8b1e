"""Rows of one partition → shards in the store, and the counts the manifest needs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataservice.prepare.partition import SPLITS, Row, SplitResult, read_rows, sentence_key
from dataservice.prepare.tags import tag_ids
from dataservice.prepare.tokenizer import load_tokenizer
from dataservice.settings import BuildSettings
from shards.block import MAX_BLOCK_SAMPLES, Block, block_from_samples, id_dtype
from shards.lengths import ShardLengths, lengths_of
from shards.manifest import SHARD_SUFFIX, ShardInfo, Split
from shards.sample import Sample, pair_id
from shards.store import LocalStore
from shards.writer import write_shard


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """Work of one process: encode one partition and store its shards."""

    partition: int
    rows: SplitResult
    conflicts_file: Path  # npy, uint64: target sentences of val that train holds too
    model_file: Path
    symbols: dict[str, int]
    sources: dict[str, int]  # name to number
    settings: BuildSettings


@dataclass(slots=True)
class SplitCounts:
    """What one split of one partition holds."""

    shards: list[ShardInfo]
    lengths: list[ShardLengths]  # of each shard
    sources: Counter[str]
    tags: Counter[int]  # by the id that stands in the sample
    chars: Counter[str]
    pieces: npt.NDArray[np.int64]  # [V] how often each piece is used
    num_chars: dict[str, int]  # by language


@dataclass(slots=True)
class EncodeResult:
    """Both splits of one partition, and what was dropped on the way."""

    splits: dict[Split, SplitCounts]
    dropped: Counter[tuple[str, str]]


def encode_partition(unit: EncodeUnit) -> EncodeResult:
    """Encode, tag and store one partition; a shard is closed at the configured size."""
    tokenizer = load_tokenizer(unit.model_file.read_bytes())
    conflicts = set(np.load(unit.conflicts_file).tolist())
    result = EncodeResult({}, Counter())
    for split in SPLITS:
        rows = read_rows(unit.rows.rows_files[split])
        if split == "val":
            leaked = [row for row in rows if sentence_key(row.en) in conflicts]
            result.dropped.update((row.source, "val_target_in_train") for row in leaked)
            rows = [row for row in rows if sentence_key(row.en) not in conflicts]
        src = tokenizer.encode([row.ru for row in rows])
        tgt = tokenizer.encode([row.en for row in rows])
        counts = SplitCounts(
            shards=[],
            lengths=[],
            sources=Counter(),
            tags=Counter(),
            chars=Counter(),
            pieces=np.zeros(unit.settings.vocab_size, np.int64),
            num_chars={"ru": 0, "en": 0},
        )
        samples = []
        for row, src_ids, tgt_ids in zip(rows, src, tgt, strict=True):
            if max(len(src_ids), len(tgt_ids)) > unit.settings.max_tokens:
                result.dropped[row.source, "too_many_tokens"] += 1
                continue
            samples.append(_sample(row, src_ids, tgt_ids, unit, counts))
        _write_shards(samples, f"{split}-{unit.partition:05d}", unit.settings, counts)
        result.splits[split] = counts
    return result


def _sample(
    row: Row, src_ids: list[int], tgt_ids: list[int], unit: EncodeUnit, counts: SplitCounts
) -> Sample:
    dtype = id_dtype(unit.settings.vocab_size)
    # ids(tags + text) = ids(tags) + ids(text): other tags need no encoding
    tags = tag_ids(row.tags, unit.symbols)
    sample = Sample(
        pair_id=pair_id(bytes.fromhex(row.key)),
        src=np.array([*tags, *src_ids], dtype),
        tgt=np.array(tgt_ids, dtype),
        source=unit.sources[row.source],
    )
    counts.sources[row.source] += 1
    counts.tags.update(tags)
    counts.chars.update(row.ru)
    counts.chars.update(row.en)
    counts.num_chars["ru"] += len(row.ru)
    counts.num_chars["en"] += len(row.en)
    return sample


def _write_shards(
    samples: list[Sample], prefix: str, settings: BuildSettings, counts: SplitCounts
) -> None:
    store = LocalStore(settings.store_dir)
    blocks: list[tuple[str, Block]] = []
    size = 0

    def close_shard() -> None:
        data, info = write_shard(blocks, zstd_level=settings.zstd_level)
        store.put_blob(data, SHARD_SUFFIX)
        counts.shards.append(info)
        counts.lengths.append(lengths_of([block for _, block in blocks]))

    for start in range(0, len(samples), MAX_BLOCK_SAMPLES):
        block = block_from_samples(samples[start : start + MAX_BLOCK_SAMPLES], settings.vocab_size)
        blocks.append((f"{prefix}-{start // MAX_BLOCK_SAMPLES:06d}", block))
        for ids in (block.src, block.tgt):
            counts.pieces += np.bincount(ids, minlength=settings.vocab_size)
        size += block.src.nbytes + block.tgt.nbytes + 14 * block.num_samples
        if size >= settings.shard_bytes:
            close_shard()
            blocks, size = [], 0
    if blocks:
        close_shard()
