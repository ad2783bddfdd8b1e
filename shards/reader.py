"""Bytes of a shard → blocks, decoded only after size and sha256 match the manifest."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import zstandard

from shards.block import Block, members_to_block
from shards.errors import CorruptBlobError
from shards.manifest import BlobInfo, ShardInfo
from shards.sample import ids_digest

_TAR_BLOCK: Final = 512


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
    check_blob(data, info)
    return decode_shard(data, info)


def decode_shard(data: bytes, info: ShardInfo) -> list[Block]:
    """The blocks of a shard whose bytes are verified; their arrays are views of one buffer.

    Raises:
        CorruptBlobError: when counts or pair ids are not those of the manifest.
    """
    try:
        groups = list(tar_groups(_decompress(data, info.raw_bytes)))
    except (zstandard.ZstdError, ValueError) as error:
        raise CorruptBlobError(
            f"shard {info.path} cannot be unpacked ({error.args[0]}) though its sha256 is the "
            "manifest's; it was written damaged; build the data set again"
        ) from error
    blocks = [members_to_block(members, f"{info.path} block {key}") for key, members in groups]
    _check_counts(blocks, info)
    return blocks


def tar_groups(raw: bytes) -> Iterator[tuple[str, dict[str, memoryview]]]:
    """The WebDataset samples of a tar: neighbouring members of one key, by their extension.

    Only what the contract allows is read: plain files with USTAR headers. Going from header to
    header without copying is some hundred times faster than a general tar library. Checksums of
    headers are not looked at, since the sha256 of the whole shard is.

    Raises:
        ValueError: when a header is damaged or of another kind, or the tar ends too early.
    """
    view = memoryview(raw)
    position, key, members = 0, "", dict[str, memoryview]()
    while raw[position : position + 1] not in (b"", b"\0"):
        name, start, end = _tar_member(raw, position)
        base, _, extension = name.partition(".")
        if base != key and members:
            yield key, members
            members = {}
        if extension in members:
            raise ValueError(f"tar member {name} occurs twice")
        key, members[extension] = base, view[start:end]
        position = start + -(-(end - start) // _TAR_BLOCK) * _TAR_BLOCK
    if members:
        yield key, members
    if len(raw) - position < 2 * _TAR_BLOCK or raw.count(b"\0", position) != len(raw) - position:
        raise ValueError("the tar does not end with empty blocks: it was cut, or more follows")


def _tar_member(raw: bytes, position: int) -> tuple[str, int, int]:
    """Name, start and end of the member whose header lies at a position."""
    header = raw[position : position + _TAR_BLOCK]
    if header[257:262] != b"ustar" or header[156:157] not in (b"0", b"\0"):
        raise ValueError(f"the tar has no header of a plain USTAR member at byte {position}")
    name = header[:100].split(b"\0", 1)[0].decode()
    start = position + _TAR_BLOCK
    end = start + int(header[124:136].strip(b" \0") or b"0", 8)
    if end > len(raw):
        raise ValueError(f"tar member {name} is cut")
    return name, start, end


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
