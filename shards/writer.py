"""Blocks → the bytes of one shard and what a manifest says of it."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from typing import Final

import numpy as np
import zstandard

from shards.block import Block, block_to_members
from shards.manifest import ShardInfo
from shards.sample import ids_digest

DEFAULT_ZSTD_LEVEL: Final = 1
_MODE: Final = 0o444


def write_shard(
    blocks: Sequence[tuple[str, Block]], *, zstd_level: int = DEFAULT_ZSTD_LEVEL
) -> tuple[bytes, ShardInfo]:
    """Pack keyed blocks into one `.tar.zst`; equal blocks give equal bytes.

    USTAR headers with mtime 0 and no owner; one zstd frame with content size and checksum.
    """
    buffer = io.BytesIO()
    # webdataset's own writer gives the same bytes, and imports torch where that is: a second
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, block in blocks:
            for name, content in sorted(block_to_members(block).items()):
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size, member.mode = len(content), _MODE
                tar.addfile(member, io.BytesIO(content))
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
