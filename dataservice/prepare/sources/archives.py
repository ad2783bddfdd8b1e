"""Bytes of a file → what they hold, decompressed piece by piece, to a configured size at most."""

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import zstandard

from dataservice.errors import SourceError
from dataservice.prepare.sources.damage import no_archive
from dataservice.prepare.sources.zstd_frames import zstd_blocks
from dataservice.source_settings import Reading

FREE_BYTES: Final = 64 << 20  # so much may come of any file, however small
_PIECE_BYTES: Final = 1 << 20
_XZ_MEMORY_BYTES: Final = 128 << 20  # `xz -9` needs 65 MiB


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


def unpack(raw: Iterator[bytes], packing: str, name: str, reading: Reading) -> Iterator[bytes]:
    """Decompressed pieces of about 1 MiB.

    Raises:
        DamagedError: when the archive is cut or damaged.
        SourceError: when it is a bomb, or larger than it may be.
    """
    counted = _Counted(raw)
    num_bytes = 0
    try:
        for piece in _UNPACKERS[packing](counted):
            num_bytes += len(piece)
            check_size(num_bytes, counted.num_bytes, name, reading)
            yield piece
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, MemoryError) as error:
        raise no_archive(name, error) from error


class _Counted:
    """Passes bytes on and knows how many came."""

    def __init__(self, raw: Iterator[bytes]) -> None:
        self._raw = raw
        self.num_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for data in self._raw:
            self.num_bytes += len(data)
            yield data


def check_size(num_bytes: int, packed: int, name: str, reading: Reading) -> None:
    """Refuse what has grown beyond the limits.

    Raises:
        SourceError: when it is a bomb, or larger than it may be.
    """
    if num_bytes > reading.max_source_bytes:
        raise SourceError(
            f"source {name} holds more than {reading.max_source_bytes} bytes; nothing is built "
            "from it; cut it into files, or raise --max-source-bytes"
        )
    if num_bytes > max(FREE_BYTES, reading.max_ratio * packed):
        raise SourceError(
            f"source {name} decompresses to more than {reading.max_ratio} times its size, as a "
            "bomb does; nothing is built from it; raise --max-source-ratio if it is really text"
        )


def _gzip_blocks(raw: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    started = False
    for data in raw:
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # tapes and tar fill up with them
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            yield member.decompress(data, _PIECE_BYTES)
            started = True
            data = member.unused_data if member.eof else member.unconsumed_tail
    # a full buffer may have left something inside
    while started and not member.eof and (piece := member.decompress(b"", _PIECE_BYTES)):
        yield piece
    _check_end(member, started)


def _xz_blocks(raw: Iterator[bytes]) -> Iterator[bytes]:
    def begin() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)

    stream = begin()
    started = False
    for data in raw:
        while data or not (stream.eof or stream.needs_input):
            if stream.eof:
                data = data.lstrip(b"\0")  # padding between streams
                if not data:
                    break
                stream = begin()
            yield stream.decompress(data, _PIECE_BYTES)
            started = True
            data = stream.unused_data if stream.eof else b""
    _check_end(stream, started)


def _check_end(last: _Decompressor, started: bool) -> None:
    if not started:
        raise EOFError("it has no bytes")
    if not last.eof:
        raise EOFError("its end is missing")


_UNPACKERS: Final[dict[str, Callable[[_Counted], Iterator[bytes]]]] = {
    "": iter,
    ".gz": lambda raw: _gzip_blocks(iter(raw)),
    ".xz": lambda raw: _xz_blocks(iter(raw)),
    ".zst": lambda raw: zstd_blocks(iter(raw)),
}
