"""A path → its bytes, in order, decompressed, hashed as they lie on the disk."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from dataservice.errors import SourceError
from dataservice.prepare.sources.archives import unpack
from dataservice.source_settings import Reading
from shards.manifest import InputInfo

_READ_BYTES: Final = 1 << 20
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def open_regular(path: Path, name: str) -> IO[bytes]:
    """Open a file for reading, and nothing else: a pipe would wait for its writer for ever.

    Raises:
        SourceError: when it is not there, is no file, or may not be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_open(error, name) from error
    except ValueError as error:
        raise SourceError(f"source {name!r} is no path ({error}); check it") from error
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        kind = next((told for test, told in _KINDS if test(mode)), "something else")
        raise SourceError(f"source {name} is {kind}, not a file; name a file with text")
    return os.fdopen(number, "rb")


def _cannot_open(error: OSError, name: str) -> SourceError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceError(f"source {name} is not there; check its path")
    if error.errno == errno.ENXIO:
        return SourceError(f"source {name} is a socket, not a file; name a file with text")
    return SourceError(f"source {name} cannot be opened ({error.strerror}); check its path")


class InputFile:
    """One file of a source; its digest and size are known after its last byte."""

    def __init__(self, path: Path, name: str, packing: str, reading: Reading) -> None:
        self.path = path
        self.name = name
        self.packing = packing
        self.reading = reading
        self.num_bytes = 0
        self._digest: _Hash = hashlib.sha256()
        self._raw = self._read()

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, decompressed.

        Raises:
            SourceError: when it cannot be opened or holds more than it may.
            DamagedError: when it is cut or no archive.
        """
        return unpack(self._raw, self.packing, self.name, self.reading)

    def info(self, name: str) -> InputInfo:
        """What the manifest says of the file; what damage kept from being read is read now."""
        for _ in self._raw:
            pass
        return InputInfo(file=name, sha256=self._digest.hexdigest(), bytes=self.num_bytes, pairs=0)

    def _read(self) -> Iterator[bytes]:
        with open_regular(self.path, self.name) as file:
            while data := file.read(_READ_BYTES):
                self._digest.update(data)
                self.num_bytes += len(data)
                yield data
