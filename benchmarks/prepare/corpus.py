"""A JSON-lines corpus, plain, .gz or .zst → the plain file that every system reads, and its size.

It is plain so that nobody is charged for decompression, and holds what was read, byte for byte.
"""

import filecmp
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard


@dataclass(frozen=True, slots=True)
class Size:
    """What figures are per: pairs, and UTF-8 bytes of both their sides."""

    pairs: int
    text_bytes: int


def copy_plain(corpus: Path, target: Path, pairs: int | None = None) -> Size:
    """Write the corpus, or its first pairs, as a plain file, and measure it.

    A copy that is there already stays, for builds know their text by the date of its file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = target.with_name(f"{target.name}.new")
    with open_plain(corpus) as source, copy.open("wb") as file:
        if pairs is None:
            shutil.copyfileobj(source, file, 1 << 20)
        else:
            file.writelines(line for line, _ in zip(source, range(pairs), strict=False))
    if target.exists() and filecmp.cmp(copy, target, shallow=False):
        copy.unlink()
    else:
        copy.replace(target)
    return measure(target)


def open_plain(corpus: Path) -> io.BufferedReader | gzip.GzipFile:
    """The bytes of a file, decompressed by what its name says."""
    if corpus.suffix == ".zst":
        return io.BufferedReader(zstandard.open(corpus, "rb"), 1 << 20)
    return gzip.open(corpus, "rb") if corpus.suffix == ".gz" else corpus.open("rb")


def measure(corpus: Path) -> Size:
    """Count the pairs and the bytes of their text."""
    pairs = text_bytes = 0
    for src, tgt in read_pairs(corpus):
        pairs += 1
        text_bytes += len(src.encode()) + len(tgt.encode())
    return Size(pairs, text_bytes)


def read_pairs(corpus: Path) -> Iterator[tuple[str, str]]:
    """Both sides of every pair of a plain file, as they stand there."""
    with corpus.open("rb") as file:
        for line in file:
            told: dict[str, Any] = json.loads(line)
            yield told["ru"], told["en"]
