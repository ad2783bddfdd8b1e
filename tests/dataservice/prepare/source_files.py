"""Text → source files in every format and compression, and their pairs as the build reads them."""

import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from dataservice.prepare.sources import count_pairs, parse_chunk, read_chunks
from dataservice.source_settings import Reading, SourceSettings
from shards.manifest import InputInfo

PAIRS = [("Привет, мир!", "Hello, world!"), ("«Да» — нет", "Yes — no"), ("Три", "Three")]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_frames(data: bytes) -> bytes:
    """The same bytes in several frames, as `zstd --split` and concatenation give."""
    return b"".join(zstd(data[at : at + 10]) for at in range(0, len(data), 10))


def gzip_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 10]) for at in range(0, len(data), 10))


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "gz": (".gz", gzip.compress),
    "gz members": (".gz", gzip_members),
    "xz": (".xz", lzma.compress),
    "zst": (".zst", zstd),
    "zst frames": (".zst", zstd_frames),
}


def jsonl(pairs: Sequence[tuple[str, str]]) -> bytes:
    rows = (json.dumps({"ru": ru, "en": en}, ensure_ascii=False) for ru, en in pairs)
    return "".join(f"{row}\n" for row in rows).encode()


def tsv(pairs: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{ru}\t{en}\n" for ru, en in pairs).encode()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair as read."""

    src: str
    tgt: str | None
    author: str | None
    city: str | None
    year: str | None
    source: str


def read(
    source: SourceSettings,
    folder: Path,
    inputs: list[InputInfo] | None = None,
    reading: Reading | None = None,
    damaged: Counter[tuple[str, str]] | None = None,
) -> list[Pair]:
    """All pairs of a source, by way of its chunks; inputs and damage are added to what is given."""
    found: list[InputInfo] = []
    chunks = list(read_chunks(source, folder / "chunks", found, reading))
    parts = [parse_chunk(chunk) for chunk in chunks]
    if inputs is not None:
        numbers = [len(part) + part.damaged.total() for part in parts]
        inputs.extend(count_pairs(found, chunks, numbers))
    pairs: list[Pair] = []
    for part in parts:
        if damaged is not None:
            damaged.update(part.damaged)
        tgt: Sequence[str | None] = [None] * len(part) if part.tgt is None else part.tgt
        rows = zip(part.src, tgt, part.author, part.city, part.year, part.source, strict=True)
        pairs.extend(Pair(*row) for row in rows)
    return pairs


def texts(pairs: list[Pair]) -> list[tuple[str, str | None]]:
    return [(pair.src, pair.tgt) for pair in pairs]
