"""Kept pairs ↔ the files between cleaning and the split: their texts, and keys in an array.

A row of text is src, tgt and the pair's labels, a unit separator after each. No cleaned text holds
these, nor an end of line.
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from dataservice.prepare.text.keys import Keys
from dataservice.prepare.work.spill import SpillFile, open_spill

_SEPARATOR: Final = b"\x1f"
NUM_BUCKETS: Final = 4096
_BUCKET_SHIFT: Final = 52
_START_BYTES: Final = 16  # two int64
_STARTS_BYTES: Final = _START_BYTES * (NUM_BUCKETS + 1)
_MOST_STARTS: Final = 1 << 20  # held at once when they are joined: 16 MB


@dataclass(frozen=True, slots=True, order=True)
class Labels:
    """Token-safe author, city and year of a pair, empty if unknown, and the name of its source."""

    author: str
    city: str
    year: str
    source: str

    def dump(self) -> str:
        return "\t".join((self.author, self.city, self.year, self.source))

    @classmethod
    def load(cls, text: str) -> Self:
        return cls(*text.split("\t"))


class RowKeys:
    """What is compared instead of texts, row by row: the pair's 128 bits, and folded sides.

    `copies` is how often the pair stands in its chunk.
    """

    DTYPE: Final = np.dtype(
        [("id", "<u8"), ("rest", "<u8"), ("src", "<u8"), ("tgt", "<u8"), ("copies", "<u4")]
    )

    @classmethod
    def of(cls, digests: Sequence[bytes], src: Keys, tgt: Keys) -> npt.NDArray[np.void]:
        """An array of rows [N] from 16-byte pair keys and the folded keys of both sides."""
        rows = np.zeros(len(digests), cls.DTYPE)
        words = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
        rows["id"], rows["rest"] = words[:, 0], words[:, 1]
        rows["src"], rows["tgt"], rows["copies"] = src, tgt, 1
        return rows


def bodies(src: Sequence[str], tgt: Sequence[str]) -> list[bytes]:
    """`SRC\x1fTGT` of each pair: the very bytes that are hashed to its key."""
    # encoded at once: a call for each pair takes twice as long
    found = "\n".join(map("\x1f".join, zip(src, tgt, strict=True))).encode().split(b"\n")
    if len(found) != max(len(src), 1):
        raise ValueError("a cleaned text holds an end of line")
    return found if src else []


def dump_texts(texts: Iterable[bytes], labels: Sequence[str]) -> list[bytes]:
    """The rows of pairs, whose bodies come first."""
    ends = {text: b"\x1f%b\x1f" % text.encode() for text in set(labels)}
    return [body + ends[text] for body, text in zip(texts, labels, strict=True)]


@dataclass(frozen=True, slots=True)
class Columns:
    """N rows field by field, in UTF-8."""

    src: list[bytes]
    tgt: list[bytes]
    labels: list[bytes]

    @classmethod
    def load(cls, texts: bytes) -> Self:
        """The fields of whole rows."""
        fields = texts.split(_SEPARATOR)
        fields.pop()  # behind the last row
        if len(fields) % 3:
            raise ValueError(f"{len(fields)} fields are no rows of three")
        known: dict[bytes, bytes] = {}
        # one object for all that are equal, where else each row would hold its own
        labels = [known.setdefault(one, one) for one in fields[2::3]]
        return cls(fields[0::3], fields[1::3], labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """The given rows, in their order."""
        wanted = rows.tolist()
        columns = (self.src, self.tgt, self.labels)
        return type(self)(*([column[row] for row in wanted] for column in columns))


@dataclass(frozen=True, slots=True)
class BucketFile:
    """The rows of one chunk, in order of their buckets; any range of buckets is two reads.

    Its first part tells where each bucket begins in the others, which are the keys and the texts:
    int64 [buckets + 1, 2], rows and bytes.
    """

    folder: Path  # of the build
    path: str

    @classmethod
    def of_chunk(cls, folder: Path, chunk: int) -> "BucketFile":
        """The file of a chunk, by its number."""
        return cls(folder, f"clean/{chunk:06d}")

    def write(self, texts: Sequence[bytes], keys: npt.NDArray[np.void]) -> SpillFile:
        """Write rows, those of a bucket in the order given."""
        buckets = bucket_of(keys["src"])
        order = np.argsort(buckets, kind="stable")
        ends = np.searchsorted(buckets[order], np.arange(1, NUM_BUCKETS + 1))
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))[order]
        starts = np.zeros((NUM_BUCKETS + 1, 2), "<i8")
        starts[1:, 0] = ends
        starts[:, 1] = np.concatenate([[0], np.cumsum(lengths)])[starts[:, 0]]
        text = b"".join([texts[row] for row in order.tolist()])
        with open_spill(self.folder, self.path) as out:
            for part in (starts.tobytes(), keys[order].tobytes(), text):
                out.write(part)
        return out.spilled

    def read_starts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Where the buckets from first to last begin, in rows and in bytes of text [M, 2]."""
        with (self.folder / self.path).open("rb") as file:
            return _read_starts(file, first, last - first)

    def read_into(
        self, starts: npt.NDArray[np.int64], num_rows: int, parts: Sequence["RowBuffer"]
    ) -> None:
        """Read neighbouring ranges of buckets, from each start [M, 2] to the next, a part each.

        `num_rows` are those of the whole file.
        """
        rows, places = starts.T.tolist()
        if rows[0] == rows[-1]:
            return
        size = RowKeys.DTYPE.itemsize
        texts = _STARTS_BYTES + num_rows * size
        keys = [_STARTS_BYTES + row * size for row in rows]
        with io.FileIO(self.folder / self.path) as file:
            _read_into(file, keys, [part.keys for part in parts])
            _read_into(file, [texts + place for place in places], [part.texts for part in parts])


class _Buffer:
    """So many bytes, which are filled from the beginning on."""

    def __init__(self, num_bytes: int) -> None:
        self.data = bytearray(num_bytes)
        self._end = 0

    def room(self, num_bytes: int) -> memoryview:
        """Where the next bytes go."""
        begin, self._end = self._end, self._end + num_bytes
        return memoryview(self.data)[begin : self._end]


class RowBuffer:
    """Room for the rows of a partition, whose size is known before any of them is read.

    Many small pieces, joined at last, would leave holes in the memory of a process. One partition
    is there twice while it is taken out.
    """

    def __init__(self, num_rows: int, num_bytes: int) -> None:
        self.texts = _Buffer(num_bytes)
        self.keys = _Buffer(num_rows * RowKeys.DTYPE.itemsize)

    def rows(self) -> tuple[bytes, npt.NDArray[np.void]]:
        """The texts and the keys of all rows."""
        return bytes(self.texts.data), np.frombuffer(self.keys.data, RowKeys.DTYPE)


def bucket_of(src_keys: Keys) -> npt.NDArray[np.int64]:
    """The bucket of each row, of its source sentence alone: what folds alike meets in one."""
    return (src_keys >> np.uint64(_BUCKET_SHIFT)).astype(np.int64)


def buckets_of(partition: int, num_partitions: int) -> tuple[int, int]:
    """The buckets [begin, end) of a partition."""
    return (
        partition * NUM_BUCKETS // num_partitions,
        (partition + 1) * NUM_BUCKETS // num_partitions,
    )


def join_starts(files: Sequence[BucketFile], folder: Path, path: str) -> SpillFile:
    """Put the starts of all chunks into one file, bucket by bucket: int64 [buckets + 1, chunks, 2].

    A partition reads those of few buckets; of all of them a few are held at a time.
    """
    at_once = max(1, _MOST_STARTS // max(len(files), 1))
    with open_spill(folder, path) as out:
        for first in range(0, NUM_BUCKETS + 1, at_once):
            last = min(first + at_once, NUM_BUCKETS + 1)
            found = [file.read_starts(first, last) for file in files]
            out.write(np.stack(found, axis=1).tobytes() if found else b"")
    return out.spilled


def read_starts(path: Path, buckets: Sequence[int], num_chunks: int) -> npt.NDArray[np.int64]:
    """Where some buckets begin in each chunk [buckets, chunks, 2], of what `join_starts` wrote."""
    with path.open("rb") as file:
        found = [_read_starts(file, bucket * num_chunks, num_chunks) for bucket in buckets]
    return np.stack(found)


def _read_starts(file: BinaryIO, first: int, count: int) -> npt.NDArray[np.int64]:
    """So many starts, of rows and of bytes [count, 2]."""
    file.seek(first * _START_BYTES)
    data = file.read(count * _START_BYTES)
    if len(data) != count * _START_BYTES:
        raise EOFError(f"{file.name} is shorter than it was")
    return np.frombuffer(data, "<i8").reshape(count, 2)


def _read_into(file: io.FileIO, places: Sequence[int], parts: Sequence[_Buffer]) -> None:
    """What lies between each place and the next goes to the part of it; all at once if it can."""
    rooms = [
        part.room(end - begin) for (begin, end), part in zip(pairwise(places), parts, strict=True)
    ]
    place = places[0]
    while place < places[-1]:
        if not (count := os.preadv(file.fileno(), rooms, place)):
            raise EOFError(f"{file.name} is shorter than it was")
        place += count
        rooms = _behind(rooms, count)


def _behind(rooms: Sequence[memoryview], count: int) -> list[memoryview]:
    """What is left of rooms when so many bytes are in them."""
    left = []
    for room in rooms:
        left.append(room[count:])
        count = max(0, count - len(room))
    return left


def dump_array(array: npt.NDArray[np.generic]) -> bytes:
    """The bytes of an .npy file; numpy's own writing does not say that a disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
