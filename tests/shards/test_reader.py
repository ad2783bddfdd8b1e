"""Damaged shards → one clear error each: no byte is believed before it is checked."""

import contextlib
import re

import pytest
import zstandard

from shards.errors import CorruptBlobError
from shards.manifest import BlobInfo, ShardInfo
from shards.reader import check_blob, read_shard
from tests.shards.helpers import (
    make_block,
    make_samples,
    make_shard,
    repack,
    same_samples,
    tar_members,
    unpack,
    vouch,
)

SHARD, INFO = make_shard(5)
RAW = unpack(SHARD)
PATH = re.escape(INFO.path)


def flipped(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def test_every_flipped_byte_is_found() -> None:
    for position in range(len(SHARD)):
        with pytest.raises(CorruptBlobError, match=rf"{PATH} has sha256"):
            read_shard(flipped(SHARD, position, 1 << position % 8), INFO)


def test_every_cut_is_found() -> None:
    for length in range(len(SHARD)):
        with pytest.raises(CorruptBlobError, match=rf"{PATH} has {length} bytes"):
            read_shard(SHARD[:length], INFO)


@pytest.mark.parametrize("more", [b"\0", b"x", SHARD])
def test_bytes_too_many_are_found(more: bytes) -> None:
    with pytest.raises(CorruptBlobError, match=rf"{len(SHARD + more)} bytes"):
        read_shard(SHARD + more, INFO)


def test_another_intact_shard_under_the_name_is_found() -> None:
    other, _ = make_shard(5, seed=9)
    with pytest.raises(CorruptBlobError, match=PATH):
        read_shard(other, INFO)


def test_a_blob_of_the_right_bytes_passes_and_no_other() -> None:
    info = BlobInfo(sha256=INFO.sha256, bytes=len(SHARD), suffix=".tar.zst")
    check_blob(SHARD, info)
    check_blob(bytearray(SHARD), info)
    with pytest.raises(CorruptBlobError, match=r"sha256 \w{12}, the manifest says"):
        check_blob(flipped(SHARD, 0, 1), info)


# From here on the manifest vouches for the damage: a writer with a fault, or a forged data set.


def test_a_frame_that_was_written_damaged_is_refused_or_harmless() -> None:
    for position in range(len(SHARD)):
        for mask in (0x01, 0x80, 0xFF):
            data = flipped(SHARD, position, mask)
            with contextlib.suppress(CorruptBlobError):
                blocks = read_shard(data, vouch(data, INFO))
                assert same_samples(list(blocks[0].samples()), make_samples(5))


def test_a_tar_that_was_written_damaged_never_fails_in_another_way() -> None:
    # flips inside ids cannot be told from other ids; all else must end in our own error
    for position in range(0, len(RAW), 23):
        data, info = repack(flipped(RAW, position, 0x20), INFO)
        with contextlib.suppress(CorruptBlobError):
            read_shard(data, info)


def test_a_tar_cut_at_any_member_is_found_by_what_it_no_longer_holds() -> None:
    raw_shard, whole = make_shard(5, blocks=3)
    raw = unpack(raw_shard)
    cuts = [member.offset for member in tar_members(raw)]
    assert len(cuts) == 21
    for cut in cuts:
        data, info = repack(raw[:cut], whole)
        with pytest.raises(CorruptBlobError, match=re.escape(info.path)):
            read_shard(data, info)


def test_a_tar_cut_between_blocks_is_found_by_counts() -> None:
    raw_shard, whole = make_shard(5, blocks=3)
    raw = unpack(raw_shard)
    data, info = repack(raw[: tar_members(raw)[14].offset] + bytes(1024), whole)
    with pytest.raises(CorruptBlobError, match="holds blocks 2, the manifest says 3"):
        read_shard(data, info)


@pytest.mark.parametrize("name", ["blocks", "samples", "src_tokens", "tgt_tokens"])
def test_every_count_is_compared(name: str) -> None:
    info = INFO.model_copy(update={name: getattr(INFO, name) + 1})
    with pytest.raises(CorruptBlobError, match=f"{PATH} holds {name} "):
        read_shard(SHARD, info)


def test_pair_ids_are_compared_not_only_counted() -> None:
    with pytest.raises(CorruptBlobError, match="ids_digest"):
        read_shard(SHARD, INFO.model_copy(update={"ids_digest": "0" * 32}))


@pytest.mark.parametrize("raw_bytes", [0, len(RAW) - 512, len(RAW) + 512, 2**60])
def test_the_unpacked_size_is_compared_before_memory_is_taken(raw_bytes: int) -> None:
    with pytest.raises(CorruptBlobError, match=f"the manifest {raw_bytes}"):
        read_shard(SHARD, INFO.model_copy(update={"raw_bytes": raw_bytes}))


def multi_frame() -> bytes:
    compressor = zstandard.ZstdCompressor()
    return compressor.compress(RAW[:1024]) + compressor.compress(RAW[1024:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        RAW,
        multi_frame(),
        SHARD + zstandard.ZstdCompressor().compress(b"more"),
        zstandard.ZstdCompressor(write_content_size=False).compress(RAW),
        zstandard.ZstdCompressor().compress(b""),
        zstandard.ZstdCompressor().compress(b"no tar" * 200),
    ],
    ids=["empty", "text", "no zstd", "frames", "extra frame", "no size", "no bytes", "no tar"],
)
def test_what_is_not_one_frame_of_one_tar_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptBlobError, match="manifest"):
        read_shard(data, vouch(data, INFO))


def test_a_shard_of_no_blocks_is_refused_when_blocks_are_promised() -> None:
    data, info = repack(bytes(10240), INFO)
    with pytest.raises(CorruptBlobError, match="holds blocks 0"):
        read_shard(data, info)


def test_the_intact_shard_reads() -> None:
    assert isinstance(INFO, ShardInfo)
    (block,) = read_shard(SHARD, INFO)
    assert same_samples(list(block.samples()), list(make_block(5).samples()))
