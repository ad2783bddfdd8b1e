"""Samples → block → tar members → block → samples: the round trip, and what is refused."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.block import (
    ARRAYS,
    MAX_BLOCK_SAMPLES,
    block_from_samples,
    block_to_members,
    id_dtype,
    members_to_block,
)
from shards.errors import CorruptBlobError
from shards.sample import Sample
from tests.shards.helpers import make_block, make_sample, make_samples, same_samples


@st.composite
def sample_lists(draw: st.DrawFn, vocab_size: int) -> list[Sample]:
    ids = st.lists(st.integers(0, vocab_size - 1), max_size=12)
    return [
        Sample(
            pair_id=draw(st.integers(0, 2**64 - 1)),
            src=np.array(draw(ids), id_dtype(vocab_size)),
            tgt=np.array(draw(ids), id_dtype(vocab_size)),
            source=draw(st.integers(0, 2**16 - 1)),
        )
        for _ in range(draw(st.integers(1, 8)))
    ]


@pytest.mark.parametrize("vocab_size", [300, 2**16, 2**16 + 1, 10**6])
@settings(max_examples=40)
@given(data=st.data())
def test_samples_come_back_from_a_block_and_its_members(
    vocab_size: int, data: st.DataObject
) -> None:
    samples = data.draw(sample_lists(vocab_size))
    block = block_from_samples(samples, vocab_size)
    again = members_to_block(block_to_members(block), "here")
    assert same_samples(list(block.samples()), samples)
    assert same_samples(list(again.samples()), samples)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [(400, np.uint16), (65_535, np.uint16), (65_536, np.uint16), (65_537, np.uint32)],
)
def test_ids_take_two_bytes_until_the_vocabulary_needs_four(
    vocab_size: int, dtype: type[np.unsignedinteger]
) -> None:
    block = block_from_samples([make_sample([vocab_size - 1 & 0xFFFF], [1])], vocab_size)
    assert block.src.dtype == dtype
    assert block.tgt.dtype == dtype


def test_the_largest_id_of_a_large_vocabulary_survives() -> None:
    sample = Sample(
        pair_id=1, src=np.array([99_999], np.uint32), tgt=np.array([65_536], np.uint32), source=0
    )
    (again,) = block_from_samples([sample], 100_000).samples()
    assert (again.src.tolist(), again.tgt.tolist()) == ([99_999], [65_536])


@pytest.mark.parametrize("count", [0, MAX_BLOCK_SAMPLES + 1])
def test_a_block_of_no_or_too_many_samples_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MAX_BLOCK_SAMPLES} samples, not {count}"):
        block_from_samples([make_sample([1], [2])] * count, 300)


def test_a_block_holds_its_full_number_of_samples() -> None:
    block = make_block(MAX_BLOCK_SAMPLES)
    assert block.num_samples == MAX_BLOCK_SAMPLES
    assert same_samples(list(block.samples()), make_samples(MAX_BLOCK_SAMPLES))


def test_a_sample_too_long_for_its_length_field_is_refused() -> None:
    with pytest.raises(ValueError, match="65536 ids"):
        block_from_samples([make_sample([1] * 2**16, [])], 300)
    assert block_from_samples([make_sample([1] * (2**16 - 1), [])], 300).src_len[0] == 2**16 - 1


def test_a_block_of_empty_samples_keeps_them() -> None:
    block = block_from_samples([make_sample([], []), make_sample([], [])], 300)
    assert [len(sample.src) for sample in block.samples()] == [0, 0]


def test_members_are_the_documented_ones_and_hold_no_pickle() -> None:
    members = block_to_members(make_block(3))
    assert set(members) == {"json", *(f"{name}.npy" for name in ARRAYS)}
    for name in ARRAYS:
        np.load(io.BytesIO(members[f"{name}.npy"]), allow_pickle=False)
    block = make_block(3)
    assert json.loads(members["json"]) == {
        "samples": 3,
        "src_tokens": len(block.src),
        "tgt_tokens": len(block.tgt),
    }


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_member_is_an_error_that_names_the_block(name: str) -> None:
    members = block_to_members(make_block(3))
    del members[f"{name}.npy"]
    with pytest.raises(CorruptBlobError, match=f"shard-7 block k.*{name}"):
        members_to_block(members, "shard-7 block k")


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_another_length_is_an_error(name: str) -> None:
    members = block_to_members(make_block(3))
    buffer = io.BytesIO()
    np.save(buffer, np.load(io.BytesIO(members[f"{name}.npy"]))[:-1])
    with pytest.raises(CorruptBlobError, match="here"):
        members_to_block(members | {f"{name}.npy": buffer.getvalue()}, "here")


@pytest.mark.parametrize(
    "payload",
    [b"", b"garbage", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\xff\xff{", b"\x80\x04N."],
)
def test_a_member_that_is_no_array_is_an_error(payload: bytes) -> None:
    members = block_to_members(make_block(3)) | {"src.npy": payload}
    with pytest.raises(CorruptBlobError, match="here"):
        members_to_block(members, "here")


def test_a_pickled_object_array_is_never_unpickled() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    members = block_to_members(make_block(3)) | {"src.npy": buffer.getvalue()}
    with pytest.raises(CorruptBlobError, match=r"Object arrays|allow_pickle"):
        members_to_block(members, "here")
