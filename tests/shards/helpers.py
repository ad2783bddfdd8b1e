"""Small samples, blocks, manifests and stores that the tests of this room share."""

import hashlib
import io
import itertools
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from shards.block import Block, block_from_samples, id_dtype
from shards.lengths import ShardLengths, dump_lengths, lengths_of, make_split_info
from shards.manifest import (
    LENGTHS_SUFFIX,
    BlobInfo,
    LengthsInfo,
    Manifest,
    ShardInfo,
    SourceInfo,
    SplitInfo,
    TagInfo,
    TokenizerInfo,
)
from shards.sample import Sample
from shards.store import LocalStore
from shards.writer import write_shard

VOCAB_SIZE = 500


def make_sample(src: Sequence[int], tgt: Sequence[int], *, pair_id: int = 0) -> Sample:
    dtype = id_dtype(VOCAB_SIZE)
    return Sample(
        pair_id=pair_id, src=np.array(src, dtype), tgt=np.array(tgt, dtype), source=pair_id % 2
    )


def make_samples(count: int, seed: int = 0, *, shortest_tgt: int = 1) -> list[Sample]:
    """Samples of different lengths, with ids that do not repeat; with 0 every tenth has no tgt."""
    rng = np.random.Generator(np.random.Philox(seed))
    return [
        make_sample(
            rng.integers(0, VOCAB_SIZE, 3 + number % 7).tolist(),
            rng.integers(0, VOCAB_SIZE, shortest_tgt + number % 10).tolist(),
            pair_id=(seed << 32) + number,
        )
        for number in range(count)
    ]


def make_block(count: int = 20, seed: int = 0) -> Block:
    return block_from_samples(make_samples(count, seed), VOCAB_SIZE)


def make_shard(count: int = 20, seed: int = 0, blocks: int = 1) -> tuple[bytes, ShardInfo]:
    return write_shard([(f"b-{n:06d}", make_block(count, seed + n)) for n in range(blocks)])


def same_samples(one: Sequence[Sample], other: Sequence[Sample]) -> bool:
    def plain(sample: Sample) -> tuple[int, list[int], list[int], int]:
        return sample.pair_id, sample.src.tolist(), sample.tgt.tolist(), sample.source

    return list(map(plain, one)) == list(map(plain, other))


def repack(raw: bytes, info: ShardInfo) -> tuple[bytes, ShardInfo]:
    """Compress a changed tar again, and make the manifest vouch for the new bytes."""
    data = zstandard.ZstdCompressor(write_checksum=True).compress(raw)
    return data, vouch(data, info, raw_bytes=len(raw))


def vouch(data: bytes, info: ShardInfo, **changes: Any) -> ShardInfo:
    """The same promises about other bytes: what a writer with a fault would have published."""
    sha256 = hashlib.sha256(data).hexdigest()
    return info.model_copy(update={"sha256": sha256, "bytes": len(data), **changes})


def unpack(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data)


def tar_members(raw: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        return tar.getmembers()


def shard_lengths(shards: Sequence[ShardInfo], blocks: Sequence[Block]) -> list[ShardLengths]:
    """The lengths of each shard, given the blocks of all of them, one after the other."""
    left = iter(blocks)
    return [lengths_of(list(itertools.islice(left, shard.blocks))) for shard in shards]


def split_info(shards: Sequence[ShardInfo], blocks: Sequence[Block]) -> SplitInfo:
    """What a manifest says of a split; its table of lengths is `lengths_blob`, put or not."""
    data = lengths_blob(shards, blocks)
    blob = LengthsInfo(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    return make_split_info(shards, shard_lengths(shards, blocks) if blocks else [], blob)


def lengths_blob(shards: Sequence[ShardInfo], blocks: Sequence[Block]) -> bytes:
    """The table of lengths that belongs to `split_info` of the same; empty without blocks."""
    return dump_lengths(shard_lengths(shards, blocks) if blocks else [])


def source_infos(blocks: Sequence[Block]) -> tuple[SourceInfo, SourceInfo]:
    """The two sources of the samples that are made here, and how many each has."""
    second = sum(int(np.count_nonzero(block.source)) for block in blocks)
    samples = sum(block.num_samples for block in blocks)
    return (
        SourceInfo(name="one", samples=samples - second),
        SourceInfo(name="two", samples=second),
    )


def make_manifest(
    shards: Sequence[ShardInfo] = (),
    blocks: Sequence[Block] = (),
    model: BlobInfo | None = None,
    **changes: Any,
) -> Manifest:
    """A manifest of train shards; the tokenizer blob is named, whatever its bytes are."""
    model = model or BlobInfo(sha256="0" * 64, bytes=0, suffix=".model")
    values: dict[str, Any] = {
        "generator": {"tests": "1"},
        "languages": {"src": "ru", "tgt": "en"},
        "tokenizer": TokenizerInfo(
            sha256=model.sha256,
            bytes=model.bytes,
            vocab_size=VOCAB_SIZE,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            target_ids={"en": 5, "ru": 4},
        ),
        "tags": TagInfo(prefix_tokens=0, symbols={}, defaults={}),
        "splits": {"train": split_info(shards, blocks)},
        "sources": source_infos(blocks),
        "inputs": (),
        "build": {"имя": "тест", "share": 0.1},
        "stats": {"funnel": {"read": 1}},
    }
    return Manifest(**(values | changes))


def fill_store(folder: Path, seed: int = 0, shards: int = 1) -> tuple[LocalStore, Manifest]:
    """A store that holds every blob of the manifest returned; nothing is published yet."""
    store = LocalStore(folder)
    blocks = [make_block(5, seed + number) for number in range(shards)]
    infos = []
    for number, block in enumerate(blocks):
        data, info = write_shard([(f"b-{number}", block)])
        store.put_blob(data, info.suffix)
        infos.append(info)
    model = store.put_blob(b"a tokenizer", ".model")
    store.put_blob(lengths_blob(infos, blocks), LENGTHS_SUFFIX)
    return store, make_manifest(infos, blocks, model)
