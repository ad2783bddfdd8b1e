"""PrometheusGPT Mini: blocks in zstd shards; verified, shuffled, bucketed by length."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.stream.corpus import BOS, EOS, PAD, TO_TGT, VOCAB_SIZE, Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access
from dataservice.settings import BuildSettings
from shards.block import MAX_BLOCK_SAMPLES, Block
from shards.dataset import open_dataset
from shards.lengths import ShardLengths, dump_lengths, lengths_of, make_split_info
from shards.manifest import (
    LENGTHS_SUFFIX,
    LengthsInfo,
    Manifest,
    ShardInfo,
    SplitInfo,
    TagInfo,
    TokenizerInfo,
)
from shards.store import LocalStore
from shards.writer import write_shard
from trainer.stream.batching import Batch
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.loader import read_batches
from trainer.stream.order import BatchBudget, Cursor

NAME = "prometheusgpt-mini"
SETTINGS = (
    "the defaults of `dataservice build` and `trainer train`: shards of 4 MiB before compression, "
    "zstd level 1, windows of 131,072 samples, no cache; every blob's sha256 is checked"
)
READS_HTTP = True
RESUME = "the cursor of the last batch"


def write(corpus: Corpus, folder: Path) -> None:
    write_parts([corpus], folder)


def write_parts(corpora: Iterable[Corpus], folder: Path) -> None:
    """Parts of a corpus, of which one at a time is in memory, as one data set."""
    store = LocalStore(folder)
    shards: list[ShardInfo] = []
    lengths: list[ShardLengths] = []
    for corpus in corpora:
        _write_part(store, corpus, shards, lengths)
    info = store.put_blob(dump_lengths(lengths), LENGTHS_SUFFIX)
    table = LengthsInfo(sha256=info.sha256, bytes=info.bytes)
    store.commit("pairs", _manifest(store, make_split_info(shards, lengths, table)))


def _write_part(
    store: LocalStore, corpus: Corpus, shards: list[ShardInfo], lengths: list[ShardLengths]
) -> None:
    shard_bytes = BuildSettings.model_fields["shard_bytes"].default
    blocks, size = list[tuple[str, Block]](), 0
    src = tgt = 0
    for start in range(0, len(corpus), MAX_BLOCK_SAMPLES):
        rows = slice(start, start + MAX_BLOCK_SAMPLES)
        src_len, tgt_len = corpus.src_len[rows], corpus.tgt_len[rows]
        src_end, tgt_end = src + int(src_len.sum()), tgt + int(tgt_len.sum())
        block = Block(
            src=corpus.src[src:src_end],
            tgt=corpus.tgt[tgt:tgt_end],
            src_len=src_len.astype("u2"),
            tgt_len=tgt_len.astype("u2"),
            id=corpus.id[rows],
            source=(src_len * 0).astype("u2"),
        )
        src, tgt = src_end, tgt_end
        blocks.append((f"train-{len(shards):05d}-{start // MAX_BLOCK_SAMPLES:06d}", block))
        size += block.src.nbytes + block.tgt.nbytes + 14 * block.num_samples
        if size >= shard_bytes or src == len(corpus.src):
            data, info = write_shard(blocks)
            store.put_blob(data, info.suffix)
            shards.append(info)
            lengths.append(lengths_of([block for _, block in blocks]))
            blocks, size = [], 0


def _manifest(store: LocalStore, train: SplitInfo) -> Manifest:
    model = store.put_blob(b"not read here", ".model")
    return Manifest(
        generator={"benchmark": "1"},
        languages={"src": "ru", "tgt": "en"},
        tokenizer=TokenizerInfo(
            sha256=model.sha256,
            bytes=model.bytes,
            vocab_size=VOCAB_SIZE,
            pad_id=PAD,
            unk_id=1,
            bos_id=BOS,
            eos_id=EOS,
            target_ids={"en": TO_TGT, "ru": 4},
        ),
        tags=TagInfo(prefix_tokens=3, symbols={}, defaults={}),
        splits={"train": train},
        sources=(),
        inputs=(),
        build={},
        stats={},
    )


def _stream(access: Access) -> BatchStream:
    config = StreamConfig(
        budget=BatchBudget(sequences=BATCH_SIZE), epochs=None if access.endless else 1
    )
    cursor = Cursor(*access.state) if access.state else None
    return BatchStream(open_dataset(f"{access.root}/pairs"), config, cursor=cursor)


def loader(access: Access) -> Iterator[Batch]:
    return read_batches(_stream(access), access.num_workers)


def snapshot(access: Access, num_batches: int) -> Any:
    for number, batch in enumerate(_stream(access), start=1):
        if number == num_batches:
            return tuple(batch.cursor)
    raise ValueError(f"an epoch has fewer than {num_batches} batches")
