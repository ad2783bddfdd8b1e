"""Text → source files in every format and compression, and their pairs as the build reads them."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import zstandard

from dataservice.prepare.pair import Pair
from dataservice.prepare.sources import parse_chunk, read_chunks
from dataservice.settings import SourceSettings
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


def read(source: SourceSettings, folder: Path, inputs: list[InputInfo] | None = None) -> list[Pair]:
    """All pairs of a source, by way of its chunks."""
    chunks = read_chunks(source, folder / "chunks", [] if inputs is None else inputs)
    return [pair for chunk in chunks for pair in parse_chunk(chunk)]


def texts(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.ru, pair.en) for pair in pairs]
