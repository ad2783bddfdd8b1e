"""Bytes → a file for a later stage, with the size and digest by which it is known again."""

import hashlib
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, Protocol

from shards.manifest import BlobInfo

_STORE: Final = "store:"
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SpillFile:
    """A file that a unit left: below the work folder, or with `store:` before it in the store."""

    path: str
    num_bytes: int
    digest: str  # crc32:… or sha256:…

    @classmethod
    def of_blob(cls, blob: BlobInfo) -> "SpillFile":
        """A blob of the store, which a unit has put there."""
        return cls(f"{_STORE}{blob.path}", blob.bytes, f"sha256:{blob.sha256}")

    def below(self, folder: str) -> "SpillFile":
        """The same file as it is seen from the folder that holds its own."""
        return replace(self, path=f"{folder}/{self.path}")

    @property
    def in_store(self) -> bool:
        return self.path.startswith(_STORE)

    def under(self, folder: Path, store: Path | None = None) -> Path:
        """Where it lies, given the work folder and that of the store."""
        if not self.in_store:
            return folder / self.path
        if store is None:
            raise ValueError(f"{self.path} lies in a store, and none was given")
        return store / self.path.removeprefix(_STORE)

    def is_whole(self, path: Path) -> bool:
        """Whether the file at a path has this size and digest."""
        kind, _, digest = self.digest.partition(":")
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.num_bytes:
                    return False
                return _DIGESTS[kind](file) == digest
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False


class HasFiles(Protocol):
    """What a stage returns for a unit, small and picklable."""

    def files(self) -> tuple[SpillFile, ...]:
        """Every file that a later stage reads."""
        ...


class SpillWriter:
    """A file being written: bytes go in, and its SpillFile is known once it is closed."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._crc = 0
        self.num_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._crc = zlib.crc32(data, self._crc)
        self.num_bytes += self._file.write(data)

    @property
    def spilled(self) -> SpillFile:
        """What was written so far."""
        return SpillFile(self._path, self.num_bytes, f"crc32:{self._crc:08x}")


@contextmanager
def open_spill(folder: Path, path: str) -> Iterator[SpillWriter]:
    """Write a file of a work folder piece by piece; it is there at the end, whole, or not at all.

    The same unit may be written twice at a time, by a worker that was thought dead. Nothing is
    synced: what a power cut takes is found missing by its digest.
    """
    target = folder / path
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            yield SpillWriter(path, file)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def spill(folder: Path, path: str, data: bytes | bytearray | memoryview) -> SpillFile:
    """Write a file of a work folder, whole or not at all."""
    with open_spill(folder, path) as writer:
        writer.write(data)
    return writer.spilled


def _crc32(file: IO[bytes]) -> str:
    crc = 0
    while data := file.read(_READ_BYTES):
        crc = zlib.crc32(data, crc)
    return f"{crc:08x}"


def _sha256(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


_DIGESTS: Final[dict[str, Callable[[IO[bytes]], str]]] = {"crc32": _crc32, "sha256": _sha256}
