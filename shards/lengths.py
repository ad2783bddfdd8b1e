"""Blocks → how many samples of each shard are how long, as one small blob; and back, checked.

With it the batches of an epoch are known before a shard is fetched: they depend on lengths alone.
R rows: distinct (parity of the pair id, source length, target length) of a shard.
"""

import functools
import io
import itertools
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Final

import numpy as np
import numpy.typing as npt
import zstandard

from shards.block import Block
from shards.errors import ManifestError
from shards.manifest import LengthsInfo, ShardInfo, SplitInfo

_COLUMNS: Final = 5
_LEVEL: Final = 3
_HEADER_ROOM: Final = 1024
_IN_MEMORY: Final = 1 << 20
_MERGED_AT_ONCE: Final = 64
_SIDE_BITS: Final = 16  # blocks keep lengths as uint16

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLengths:
    """The lengths of one shard's samples, tags included, sorted by the first three arrays."""

    parity: Counts  # [R] lowest bit of the pair id
    src_len: Counts  # [R]
    tgt_len: Counts  # [R]
    count: Counts  # [R] samples that are so, at least 1

    @property
    def samples(self) -> int:
        return int(self.count.sum())

    @property
    def src_tokens(self) -> int:
        return int(self.count @ self.src_len)

    @property
    def tgt_tokens(self) -> int:
        return int(self.count @ self.tgt_len)


def lengths_of(blocks: Sequence[Block]) -> ShardLengths:
    """Count the samples of a shard's blocks, at least one, by parity and lengths."""
    return count_lengths(
        np.concatenate([block.id for block in blocks]),
        np.concatenate([block.src_len for block in blocks]),
        np.concatenate([block.tgt_len for block in blocks]),
    )


def count_lengths(
    ids: npt.NDArray[np.uint64],
    src_len: npt.NDArray[np.integer],
    tgt_len: npt.NDArray[np.integer],
) -> ShardLengths:
    """Count samples, given the pair id and the lengths of each."""
    keys = _pack(ids & np.uint64(1), src_len, tgt_len)
    return _unpack(*np.unique(keys, return_counts=True))


def merge_lengths(parts: Iterable[ShardLengths]) -> ShardLengths:
    """The lengths of several shards taken together, looked at a few at a time."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    waiting = iter(parts)
    while few := list(itertools.islice(waiting, _MERGED_AT_ONCE)):
        more = [_pack(part.parity, part.src_len, part.tgt_len) for part in few]
        keys, places = np.unique(np.concatenate([keys, *more]), return_inverse=True)
        sums = np.zeros(len(keys), np.int64)
        np.add.at(sums, places, np.concatenate([counts, *(part.count for part in few)]))
        counts = sums
    return _unpack(keys, counts)


def same_lengths(one: ShardLengths, other: ShardLengths) -> bool:
    """Whether as many samples of each kind are in both."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__slots__)


def dump_lengths(parts: Iterable[ShardLengths]) -> bytes:
    """The blob of a split's shards; equal lengths give equal bytes.

    The parts are looked at one by one, and what is made of them waits on the disk where it is
    much, so that memory does not grow with a data set.

    Raises:
        ValueError: when a shard has 2³² samples of one kind, which none has.
    """
    num_rows = 0
    with ExitStack() as stack:
        columns = [
            stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY)) for _ in range(_COLUMNS)
        ]
        for number, part in enumerate(parts):
            if int(part.count.max(initial=0)) >= 2**32:
                raise ValueError(f"shard {number} has more samples of one length than fit a table")
            shard = np.full(len(part.count), number)
            fields = (shard, part.parity, part.src_len, part.tgt_len, part.count)
            for column, values in zip(columns, fields, strict=True):
                column.write(values.astype("<u4").tobytes())
            num_rows += len(part.count)
        return _compress(columns, num_rows)


def _compress(columns: Sequence[IO[bytes]], num_rows: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<u4", "fortran_order": True, "shape": (num_rows, _COLUMNS)}
    )
    compressor = zstandard.ZstdCompressor(
        level=_LEVEL, write_checksum=True, write_content_size=True
    ).compressobj(size=len(header.getvalue()) + 4 * _COLUMNS * num_rows)
    found = [compressor.compress(header.getvalue())]
    # column by column: neighbours are alike, and zstd makes half as many bytes of them
    for column in columns:
        column.seek(0)
        found += map(compressor.compress, iter(functools.partial(column.read, _IN_MEMORY), b""))
    return b"".join([*found, compressor.flush()])


def load_parts(data: bytes) -> list[ShardLengths]:
    """What `dump_lengths` wrote, where nothing else is known of it.

    Raises:
        ValueError: when it is something else.
    """
    table = _read_table(data, 2**40)
    return _split(table, int(table[-1, 0]) + 1 if len(table) else 0)


def load_lengths(data: bytes, info: SplitInfo) -> list[ShardLengths]:
    """The lengths of each shard of a split, whose blob is verified; in the order of the shards.

    Raises:
        ManifestError: when the table is not one, or contradicts what the manifest says elsewhere.
    """
    try:
        parts = _split(_read_table(data, info.samples), len(info.shards))
        for number, (part, shard) in enumerate(zip(parts, info.shards, strict=True)):
            _check_sums(number, part, shard)
        together = merge_lengths(parts)
        for side, found, told in (
            ("src", histogram(together.src_len, together.count), info.src_lengths),
            ("tgt", histogram(together.tgt_len, together.count), info.tgt_lengths),
        ):
            if found != _trimmed(told):
                raise ValueError(f"its {side} lengths are not {side}_lengths of the manifest")
    except (ValueError, EOFError, zstandard.ZstdError) as error:
        reason = " ".join(str(error).split())
        raise ManifestError(
            f"the table of lengths {info.lengths.path} contradicts its manifest: {reason}; the "
            "version is not used; build the data set again"
        ) from error
    return parts


def make_split_info(
    shards: Sequence[ShardInfo], lengths: Iterable[ShardLengths], blob: LengthsInfo
) -> SplitInfo:
    """What a manifest says of a split, given its shards and, for each, its lengths."""
    together = merge_lengths(lengths)
    return SplitInfo(
        shards=tuple(shards),
        samples=sum(shard.samples for shard in shards),
        src_tokens=sum(shard.src_tokens for shard in shards),
        tgt_tokens=sum(shard.tgt_tokens for shard in shards),
        src_lengths=histogram(together.src_len, together.count),
        tgt_lengths=histogram(together.tgt_len, together.count),
        lengths=blob,
    )


def histogram(lengths: Counts, count: Counts) -> tuple[int, ...]:
    """Entry n is how many samples have length n, up to the longest."""
    size = int(lengths.max(initial=-1)) + 1
    found = np.zeros(size, np.int64)
    np.add.at(found, lengths, count)
    return tuple(found.tolist())


def _trimmed(told: tuple[int, ...]) -> tuple[int, ...]:
    size = len(told)
    while size and not told[size - 1]:
        size -= 1
    return told[:size]


def _pack(
    parity: npt.NDArray[np.integer],
    src_len: npt.NDArray[np.integer],
    tgt_len: npt.NDArray[np.integer],
) -> Counts:
    """One number for each row; numbers are in the order of the rows."""
    high = parity.astype(np.int64) << (2 * _SIDE_BITS)
    return high | src_len.astype(np.int64) << _SIDE_BITS | tgt_len.astype(np.int64)


def _unpack(keys: Counts, count: npt.NDArray[np.integer]) -> ShardLengths:
    mask = (1 << _SIDE_BITS) - 1
    return ShardLengths(
        parity=keys >> (2 * _SIDE_BITS),
        src_len=keys >> _SIDE_BITS & mask,
        tgt_len=keys & mask,
        count=count.astype(np.int64),
    )


def _read_table(data: bytes, samples: int) -> npt.NDArray[np.uint32]:
    size = zstandard.frame_content_size(data)
    # a row stands for a sample at least: a blob that claims more is not unpacked
    if not 0 <= size <= _HEADER_ROOM + 4 * _COLUMNS * samples:
        raise ValueError(f"it unpacks to {size} bytes, which is no table of {samples} samples")
    raw = io.BytesIO(zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False))
    if np.lib.format.read_magic(raw) != (1, 0):
        raise ValueError("it is not an array in format 1.0")
    raw.seek(0)
    table: npt.NDArray[np.uint32] = np.lib.format.read_array(raw, allow_pickle=False)
    if raw.read(1) or table.dtype != np.dtype("<u4") or table.shape[1:] != (_COLUMNS,):
        raise ValueError(f"it holds {table.dtype} {table.shape}, not uint32 rows of {_COLUMNS}")
    return table


def _split(table: npt.NDArray[np.uint32], num_shards: int) -> list[ShardLengths]:
    """The rows of each shard, which must be in order and say something."""
    shard, parity, src_len, tgt_len, count = (table[:, n].astype(np.int64) for n in range(_COLUMNS))
    longest = max(src_len.max(initial=0), tgt_len.max(initial=0))
    if longest >> _SIDE_BITS or parity.max(initial=0) > 1 or not count.all():
        raise ValueError("a row has a length, a parity or a count that no sample has")
    keys = shard << (2 * _SIDE_BITS + 1) | _pack(parity, src_len, tgt_len)
    if (np.diff(keys) <= 0).any() or shard.max(initial=0) >= max(num_shards, 1):
        raise ValueError(f"its rows are not in order, or not of {num_shards} shards")
    ends = np.searchsorted(shard, np.arange(num_shards + 1))
    return [
        ShardLengths(
            parity=parity[start:end],
            src_len=src_len[start:end],
            tgt_len=tgt_len[start:end],
            count=count[start:end],
        )
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _check_sums(number: int, part: ShardLengths, shard: ShardInfo) -> None:
    for name in ("samples", "src_tokens", "tgt_tokens"):
        found, told = getattr(part, name), getattr(shard, name)
        if found != told:
            raise ValueError(f"shard {number} has {found} {name} by it and {told} by the manifest")
