"""Samples ↔ block arrays ↔ the members of one WebDataset sample.

N samples in a block; S, T the sums of their lengths.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shards.errors import CorruptBlobError
from shards.sample import Ids, Sample

MAX_BLOCK_SAMPLES: Final = 1024
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<u[248]|\|u1)', 'fortran_order': False, "
    rb"'shape': \((\d+),\), \} *\n",
    re.DOTALL,
)
ARRAYS: Final = ("src", "tgt", "src_len", "tgt_len", "id", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Up to 1,024 samples side by side: concatenated ids, and a length, id and source for each."""

    src: Ids  # [S] uint16, or uint32 when the vocabulary needs it
    tgt: Ids  # [T]
    src_len: npt.NDArray[np.uint16]  # [N]
    tgt_len: npt.NDArray[np.uint16]  # [N]
    id: npt.NDArray[np.uint64]  # [N]
    source: npt.NDArray[np.uint16]  # [N] index into the manifest's sources

    @property
    def num_samples(self) -> int:
        return len(self.id)

    def samples(self) -> Iterator[Sample]:
        """The samples one by one, in order."""
        src_ends = np.cumsum(self.src_len, dtype=np.int64)
        tgt_ends = np.cumsum(self.tgt_len, dtype=np.int64)
        for row in range(self.num_samples):
            yield Sample(
                pair_id=int(self.id[row]),
                src=self.src[src_ends[row] - self.src_len[row] : src_ends[row]],
                tgt=self.tgt[tgt_ends[row] - self.tgt_len[row] : tgt_ends[row]],
                source=int(self.source[row]),
            )


def id_dtype(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest unsigned type that holds every id of a vocabulary."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def block_from_samples(samples: Sequence[Sample], vocab_size: int) -> Block:
    """Pack samples into one block.

    Raises:
        ValueError: with more samples than a block holds, or a sample longer than 65,535 ids.
    """
    if not 0 < len(samples) <= MAX_BLOCK_SAMPLES:
        raise ValueError(f"a block holds 1 to {MAX_BLOCK_SAMPLES} samples, not {len(samples)}")
    longest = max(max(len(sample.src), len(sample.tgt)) for sample in samples)
    if longest >= 2**16:
        raise ValueError(f"a sample of {longest} ids does not fit a block; 65,535 is the limit")
    dtype = id_dtype(vocab_size)
    return Block(
        src=np.concatenate([sample.src for sample in samples]).astype(dtype),
        tgt=np.concatenate([sample.tgt for sample in samples]).astype(dtype),
        src_len=np.array([len(sample.src) for sample in samples], np.uint16),
        tgt_len=np.array([len(sample.tgt) for sample in samples], np.uint16),
        id=np.array([sample.pair_id for sample in samples], np.uint64),
        source=np.array([sample.source for sample in samples], np.uint16),
    )


def block_to_members(block: Block) -> dict[str, bytes]:
    """The files of a block by their endings, as a WebDataset sample names them."""
    members: dict[str, bytes] = {}
    for name in ARRAYS:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, getattr(block, name), version=(1, 0), allow_pickle=False)
        members[f"{name}.npy"] = buffer.getvalue()
    summary = {
        "samples": block.num_samples,
        "src_tokens": len(block.src),
        "tgt_tokens": len(block.tgt),
    }
    members["json"] = json.dumps(summary, sort_keys=True).encode()
    return members


def read_npy(data: bytes | memoryview) -> npt.NDArray[Any]:
    """The one-dimensional array of an .npy file: a view of its bytes where they are as we write.

    Raises:
        ValueError: when it is no such file.
    """
    if found := _NPY_HEADER.match(data):
        dtype, count = found[1].decode(), int(found[2])
        if len(data) - found.end() != count * np.dtype(dtype).itemsize:
            raise ValueError(f"an array of {count} {dtype} has {len(data) - found.end()} bytes")
        return np.frombuffer(data, dtype, count, found.end())
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def members_to_block(members: Mapping[str, Any], where: str) -> Block:
    """Decode and check the members of one block; `where` names it in errors.

    Raises:
        CorruptBlobError: when a member is missing or the arrays contradict each other.
    """
    try:
        arrays = {name: read_npy(members[f"{name}.npy"]) for name in ARRAYS}
    except Exception as error:  # numpy parses a header with whatever Python's own parser raises
        raise CorruptBlobError(
            f"{where}: {error}; the block cannot be read; rebuild the data set, since its bytes "
            "are what the manifest names"
        ) from error
    block = Block(**arrays)
    lengths = {len(arrays[name]) for name in ("src_len", "tgt_len", "id", "source")}
    sums = (int(block.src_len.sum(dtype=np.int64)), int(block.tgt_len.sum(dtype=np.int64)))
    if len(lengths) != 1 or sums != (len(block.src), len(block.tgt)):
        raise CorruptBlobError(
            f"{where}: lengths sum to {sums}, but there are {len(block.src)} src and "
            f"{len(block.tgt)} tgt ids; it cannot be split into samples; rebuild the data set"
        )
    return block
