"""A hostile file: how it is made, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard

GOOD: Final = '{"ru": "да", "en": "yes"}\n'.encode()

Make = Callable[[Path], dict[str, Any]]
"""Makes a file in a folder, and says what the source is."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One file: how it is made, and what comes of it by either policy about damage."""

    name: str
    make: Make
    error: str | None = None
    """Part of the error; None where there is none."""
    lost: dict[str, int] | None = None
    """With damage skipped: what is counted. None: the same error."""
    pairs: int = 0
    """How many are left, with damage skipped or where there is none."""
    reading: dict[str, Any] = field(default_factory=dict)
    author: str | None = None
    """Where the file is about names: what the author's tag becomes."""


def file(name: str, data: bytes | Callable[[], bytes]) -> Make:
    """A source of one file."""

    def make(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data())
        return {"path": folder / name}

    return make


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)
