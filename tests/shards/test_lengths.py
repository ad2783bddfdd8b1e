"""How long the samples of each shard are: what goes into the table comes out, and nothing else."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.block import block_from_samples
from shards.errors import ManifestError
from shards.lengths import (
    ShardLengths,
    count_lengths,
    dump_lengths,
    histogram,
    lengths_of,
    load_lengths,
    merge_lengths,
    same_lengths,
)
from shards.manifest import SplitInfo
from tests.shards.helpers import VOCAB_SIZE, lengths_blob, make_block, make_shard, split_info

BLOCKS = [make_block(60, seed) for seed in range(3)]
SHARDS = [make_shard(60, seed)[1] for seed in range(3)]


def split() -> SplitInfo:
    return split_info(SHARDS, BLOCKS)


def rows(part: ShardLengths) -> list[tuple[int, ...]]:
    columns = (part.parity, part.src_len, part.tgt_len, part.count)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def table() -> np.ndarray[Any, np.dtype[np.uint32]]:
    raw = zstandard.decompress(lengths_blob(SHARDS, BLOCKS))
    found: np.ndarray[Any, np.dtype[np.uint32]] = np.load(io.BytesIO(raw), allow_pickle=False)
    return found


def blob(array: np.ndarray[Any, Any], version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return zstandard.ZstdCompressor(write_checksum=True).compress(buffer.getvalue())


def test_lengths_count_the_samples_of_blocks() -> None:
    found = lengths_of(BLOCKS[:2])
    samples = [sample for block in BLOCKS[:2] for sample in block.samples()]
    expected = Counter((s.pair_id % 2, len(s.src), len(s.tgt)) for s in samples)
    assert rows(found) == sorted((*key, count) for key, count in expected.items())
    assert found.samples == len(samples)
    assert found.src_tokens == sum(len(s.src) for s in samples)
    assert found.tgt_tokens == sum(len(s.tgt) for s in samples)


samples = st.tuples(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 2, 255, 256, 65534, 65535]),
    st.sampled_from([0, 1, 2, 255, 256, 65534, 65535]),
)


def count(shard: Sequence[tuple[int, int, int]]) -> ShardLengths:
    return count_lengths(
        np.array([sample[0] for sample in shard], np.uint64),
        np.array([sample[1] for sample in shard], np.uint16),
        np.array([sample[2] for sample in shard], np.uint16),
    )


@settings(max_examples=60)
@given(st.lists(st.lists(samples, max_size=12), max_size=4))
def test_any_lengths_come_back_from_their_bytes(
    shards: list[list[tuple[int, int, int]]],
) -> None:
    parts = [count(shard) for shard in shards]
    infos = [
        SHARDS[0].model_copy(
            update={
                "samples": part.samples,
                "src_tokens": part.src_tokens,
                "tgt_tokens": part.tgt_tokens,
            }
        )
        for part in parts
    ]
    together = merge_lengths(parts)
    info = split().model_copy(
        update={
            "shards": tuple(infos),
            "samples": together.samples,
            "src_lengths": histogram(together.src_len, together.count),
            "tgt_lengths": histogram(together.tgt_len, together.count),
        }
    )
    found = load_lengths(dump_lengths(parts), info)
    assert list(map(rows, found)) == list(map(rows, parts))
    everything = count([sample for shard in shards for sample in shard])
    assert same_lengths(together, everything)


def test_equal_lengths_give_equal_bytes_whatever_the_order_of_samples() -> None:
    backwards = [block_from_samples(list(block.samples())[::-1], VOCAB_SIZE) for block in BLOCKS]
    data = lengths_blob(SHARDS, BLOCKS)
    assert dump_lengths([lengths_of([block]) for block in backwards]) == data
    # the bytes are part of a version's id: change them on purpose only
    raw = zstandard.decompress(data)
    assert hashlib.sha256(raw).hexdigest()[:16] == "c069b979d5562b99"


def test_numpy_and_zstd_alone_read_the_table() -> None:
    found = table()
    assert (found.dtype, found.shape[1]) == (np.dtype("<u4"), 5)
    assert found.tolist() == sorted(found.tolist())
    assert int(found[:, 4].sum()) == split().samples
    assert int((found[:, 4] * found[:, 2]).sum()) == split().src_tokens


def test_an_empty_split_has_an_empty_table() -> None:
    info = split_info([], [])
    assert load_lengths(lengths_blob([], []), info) == []
    assert np.load(io.BytesIO(zstandard.decompress(dump_lengths([])))).shape == (0, 5)


def edit(row: int, column: int, value: int) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[row, column] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edit(0, 4, 0), "a row has a length, a parity or a count"),
        (edit(0, 1, 2), "a row has a length, a parity or a count"),
        (edit(0, 2, 1 << 16), "a row has a length, a parity or a count"),
        (edit(-1, 0, 3), "not in order, or not of 3 shards"),
        (lambda array: array[::-1], "not in order"),
        (lambda array: np.concatenate([array[:1], array]), "not in order"),
        (edit(0, 4, 9), r"shard 0 has \d+ samples by it and 60 by the manifest"),
        (lambda array: array[array[:, 0] < 2], "shard 2 has 0 samples by it and 60"),
        (lambda array: array.astype(np.int32), "holds int32"),
        (lambda array: array[:, :4], "not uint32 rows of 5"),
        (lambda array: array.ravel(), "not uint32 rows of 5"),
        (lambda array: np.repeat(array, 60, axis=0), "which is no table of 180 samples"),
    ],
)
def test_a_table_that_says_something_else_is_refused(
    change: Callable[[Any], Any], told: str
) -> None:
    with pytest.raises(ManifestError, match=rf"{split().lengths.path} contradicts .*{told}"):
        load_lengths(blob(change(table())), split())


@pytest.mark.parametrize("column", [2, 3])
def test_a_table_with_the_sums_but_not_the_lengths_of_the_manifest_is_refused(column: int) -> None:
    """One sample of a shard is a token longer, another one a token shorter."""
    array = table().astype(np.int64)
    own = array[array[:, 0] == 0]
    longest, other = own[own[:, column].argmax()], own[own[:, column] > 0][0]
    moved = np.array([longest, other])
    moved[:, 4] = 1
    moved[:, column] += [1, -1]
    for row in (longest, other):
        array[(array[:, :4] == row[:4]).all(axis=1), 4] -= 1
    array = np.concatenate([array[array[:, 4] > 0], moved])
    array = array[np.lexsort(array.T[3::-1])].astype("<u4")
    side = {2: "src", 3: "tgt"}[column]
    with pytest.raises(ManifestError, match=f"its {side} lengths are not {side}_lengths"):
        load_lengths(blob(array), split())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zstd",
        zstandard.compress(b""),
        zstandard.compress(b"no array"),
        lengths_blob(SHARDS, BLOCKS)[:-1],
        lengths_blob(SHARDS, BLOCKS) + b"x",
        blob(np.zeros((0, 5), "<u4"), version=(2, 0)),
        blob(np.array([[None] * 5], object).astype(str)),
    ],
    ids=["empty", "noise", "empty frame", "no array", "cut", "more", "format 2.0", "text"],
)
def test_bytes_that_are_no_table_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="build the data set again"):
        load_lengths(data, split())
