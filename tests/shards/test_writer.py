"""Blocks → shard bytes: the format that the contract fixes, and that stock readers understand."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
import zstandard

from shards.block import ARRAYS, block_from_samples, block_to_members
from shards.reader import read_shard
from shards.writer import write_shard
from tests.shards.helpers import (
    VOCAB_SIZE,
    make_block,
    make_sample,
    make_samples,
    make_shard,
    same_samples,
    tar_members,
    unpack,
)


def test_a_shard_reads_back_to_its_blocks() -> None:
    data, info = make_shard(blocks=3)
    blocks = read_shard(data, info)
    samples = [sample for block in blocks for sample in block.samples()]
    assert same_samples(samples, [s for seed in range(3) for s in make_samples(20, seed)])


def test_texts_without_a_target_read_back_from_a_shard() -> None:
    samples = [make_sample([5, 6, number], [], pair_id=number) for number in range(4)]
    data, info = write_shard([("b-000000", block_from_samples(samples, VOCAB_SIZE))])
    assert (info.src_tokens, info.tgt_tokens) == (12, 0)
    (block,) = read_shard(data, info)
    assert same_samples(list(block.samples()), samples)
    assert block.tgt.dtype == block.src.dtype


def test_the_promises_about_a_shard_are_true() -> None:
    data, info = make_shard(blocks=3)
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert info.path == f"blobs/{info.sha256}.tar.zst"
    assert (info.bytes, info.raw_bytes) == (len(data), len(unpack(data)))
    assert (info.blocks, info.samples) == (3, 60)
    blocks = read_shard(data, info)
    assert info.src_tokens == sum(len(block.src) for block in blocks)
    assert info.tgt_tokens == sum(len(block.tgt) for block in blocks)


def test_equal_blocks_give_equal_bytes_and_other_blocks_others() -> None:
    assert make_shard(seed=1)[0] == make_shard(seed=1)[0]
    assert make_shard(seed=1)[0] != make_shard(seed=2)[0]


@pytest.mark.parametrize("level", [1, 3, 19])
def test_a_shard_is_one_zstd_frame_with_size_and_checksum(level: int) -> None:
    data, info = write_shard([("k", make_block())], zstd_level=level)
    frame = zstandard.get_frame_parameters(data)
    assert frame.has_checksum
    assert frame.content_size == info.raw_bytes
    whole = zstandard.ZstdDecompressor().decompressobj()
    assert len(whole.decompress(data)) == info.raw_bytes
    assert whole.eof
    assert whole.unused_data == b""


def test_the_tar_is_plain_ustar_without_time_or_owner() -> None:
    raw = unpack(make_shard(blocks=2)[0])
    for member in tar_members(raw):
        header = raw[member.offset : member.offset + 512]
        assert header[257:263] == b"ustar\0"
        assert member.type == tarfile.REGTYPE
        assert member.pax_headers == {}
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (
            0,
            0,
            0,
            "",
            "",
        )
        # nothing but the header itself stands before the content
        assert member.offset_data - member.offset == 512


def test_members_stand_in_one_fixed_order() -> None:
    names = [member.name for member in tar_members(unpack(make_shard(blocks=2)[0]))]
    keys = ["b-000000"] * 7 + ["b-000001"] * 7
    order = sorted(["json", *(f"{name}.npy" for name in ARRAYS)])
    assert [name.split(".", 1)[0] for name in names] == keys
    first, second = ([name.split(".", 1)[1] for name in part] for part in (names[:7], names[7:]))
    assert first == second
    assert sorted(first) == order


def test_a_known_block_has_the_bytes_it_always_had() -> None:
    # the bytes of a shard are its name: a change here is a change of every version id
    block = block_from_samples(make_samples(5, shortest_tgt=0), VOCAB_SIZE)
    digest = hashlib.sha256(unpack(write_shard([("b-000000", block)])[0])).hexdigest()
    assert digest == "2fe73dcc94923ab6b97eef15ba6e1469069d9e77f4860aaa5a70341f9e21c4b3"


def test_a_shard_has_the_bytes_that_webdataset_writes() -> None:
    keyed = [(f"b-{seed:06d}", make_block(seed=seed)) for seed in range(2)]
    buffer = io.BytesIO()
    # an integer mtime: a float one costs a 1 kB PAX header for every member
    with webdataset.TarWriter(buffer, user="", group="", mtime=0, compress=False) as tar:
        for key, block in keyed:
            tar.write({"__key__": key, **block_to_members(block)})
    assert unpack(write_shard(keyed)[0]) == buffer.getvalue()


# webdataset leaves closing the file to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_stock_webdataset_decodes_the_members_to_arrays(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(unpack(make_shard(blocks=2)[0]))
    found: list[dict[str, Any]] = list(
        webdataset.WebDataset(str(path), shardshuffle=False).decode()
    )
    assert [sample["__key__"] for sample in found] == ["b-000000", "b-000001"]
    for seed, sample in enumerate(found):
        block = make_block(seed=seed)
        assert sample["json"]["samples"] == block.num_samples
        for name in ARRAYS:
            assert isinstance(sample[f"{name}.npy"], np.ndarray)
            assert np.array_equal(sample[f"{name}.npy"], getattr(block, name))


def test_a_zstd_stream_reader_and_tarfile_alone_can_read_a_shard() -> None:
    data, _ = make_shard()
    stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        assert len([member.name for member in tar]) == 7
