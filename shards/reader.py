"""Bytes of a shard → blocks, decoded only after size and sha256 match the manifest."""

import hashlib
import io
import tarfile

import numpy as np
import zstandard

from shards.block import Block, members_to_block
from shards.errors import CorruptBlobError
from shards.manifest import BlobInfo, ShardInfo
from shards.sample import ids_digest


def check_blob(data: bytes | bytearray, info: BlobInfo) -> None:
    """Compare bytes with what the manifest promises of them.

    Raises:
        CorruptBlobError: when the size or the sha256 differs.
    """
    if len(data) != info.bytes:
        raise CorruptBlobError(
            f"blob {info.path} has {len(data)} bytes, the manifest says {info.bytes}; "
            "it is not used; restore it at its source, or build the data set again"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != info.sha256:
        raise CorruptBlobError(
            f"blob {info.path} has sha256 {found[:12]}, the manifest says {info.sha256[:12]}; "
            "it is not used; restore it at its source, or build the data set again"
        )


def read_shard(data: bytes, info: ShardInfo) -> list[Block]:
    """Verify a shard's bytes and decode its blocks.

    Raises:
        CorruptBlobError: when bytes, counts or pair ids are not those of the manifest.
    """
    # imported here: it imports torch wherever that is installed, which takes seconds
    from webdataset.tariterators import group_by_keys, tar_file_expander

    check_blob(data, info)
    try:
        raw = _decompress(data, info.raw_bytes)
        files = tar_file_expander([{"url": info.path, "stream": io.BytesIO(raw)}])
        samples = list(group_by_keys(files))
    except (zstandard.ZstdError, tarfile.TarError, ValueError) as error:
        raise CorruptBlobError(
            f"shard {info.path} cannot be unpacked ({error.args[0]}) though its sha256 is the "
            "manifest's; it was written damaged; build the data set again"
        ) from error
    blocks = [
        members_to_block(members, f"{info.path} block {members['__key__']}") for members in samples
    ]
    _check_counts(blocks, info)
    return blocks


def _decompress(data: bytes, raw_bytes: int) -> bytes:
    """One whole frame of the promised size, asked for before that much memory is taken."""
    if (told := zstandard.frame_content_size(data)) != raw_bytes:
        raise ValueError(f"its frame says {told} bytes, the manifest {raw_bytes}")
    return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)


def _check_counts(blocks: list[Block], info: ShardInfo) -> None:
    """A tar cut at a member boundary raises nothing by itself, so what came out is counted."""
    ids = np.concatenate([block.id for block in blocks]) if blocks else np.zeros(0, np.uint64)
    found = {
        "blocks": len(blocks),
        "samples": len(ids),
        "src_tokens": sum(len(block.src) for block in blocks),
        "tgt_tokens": sum(len(block.tgt) for block in blocks),
        "ids_digest": ids_digest(ids),
    }
    for name, value in found.items():
        expected = getattr(info, name)
        if value != expected:
            raise CorruptBlobError(
                f"shard {info.path} holds {name} {value}, the manifest says {expected}; "
                "it is not used; build the data set again"
            )
