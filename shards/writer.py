"""Blocks → the bytes of one shard and what a manifest says of it."""

import hashlib
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import zstandard

from shards.block import Block, block_to_members
from shards.manifest import ShardInfo
from shards.sample import ids_digest

DEFAULT_ZSTD_LEVEL: Final = 1


def load_writer() -> None:
    """Import what `write_shard` needs, which takes a second where torch is installed."""
    import webdataset  # noqa: F401


def write_shard(
    blocks: Sequence[tuple[str, Block]], *, zstd_level: int = DEFAULT_ZSTD_LEVEL
) -> tuple[bytes, ShardInfo]:
    """Pack keyed blocks into one `.tar.zst`; equal blocks give equal bytes.

    USTAR headers with mtime 0 and no owner; one zstd frame with content size and checksum.
    """
    import webdataset  # see `load_writer`

    buffer = io.BytesIO()
    # An integer mtime: a float one costs a 1 kB PAX header for every member.
    with webdataset.TarWriter(buffer, user="", group="", mtime=0, compress=False) as tar:
        for key, block in blocks:
            tar.write(block_to_members(key, block))
    raw = buffer.getvalue()
    compressor = zstandard.ZstdCompressor(
        level=zstd_level, write_checksum=True, write_content_size=True
    )
    data = compressor.compress(raw)
    ids = np.concatenate([block.id for _, block in blocks])
    info = ShardInfo(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        raw_bytes=len(raw),
        blocks=len(blocks),
        samples=len(ids),
        src_tokens=sum(len(block.src) for _, block in blocks),
        tgt_tokens=sum(len(block.tgt) for _, block in blocks),
        ids_digest=ids_digest(ids),
    )
    return data, info
