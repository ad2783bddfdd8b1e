"""Bytes of a .zst file → what its frames hold; every frame whole, and no piece large.

The library gives all that a piece of input holds at once, and four bytes may stand for 128 KiB. So
input is cut at the blocks that a frame is made of, and handed over a few of them at a time.
"""

from collections.abc import Iterator
from typing import Final

import zstandard

_MAX_WINDOW_BYTES: Final = 1 << 27  # as the zstd program has it
_BLOCKS: Final = 8  # of 128 KiB at most, decompressed
_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_RLE: Final = 1


def zstd_blocks(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress all frames.

    Raises:
        EOFError: when the last frame is cut, or there is none.
        ZstdError: when a frame is damaged or needs too much memory.
    """
    source = _Source(raw)
    found = False
    while source.need(4):
        if _is_skippable(source):
            _skip(source)
            continue
        yield from _frame(source)
        found = True
    if source.buffer or not found:
        raise EOFError("the last zstd frame is incomplete")


class _Source:
    """Bytes to come, of which as many are held as are asked for."""

    def __init__(self, raw: Iterator[bytes]) -> None:
        self._raw = raw
        self.buffer = bytearray()
        self.at = 0

    def need(self, number: int) -> bool:
        """Whether so many more bytes are there."""
        while len(self.buffer) - self.at < number:
            data = next(self._raw, None)
            if data is None:
                del self.buffer[: self.at]
                self.at = 0
                return len(self.buffer) >= number
            if self.at:
                del self.buffer[: self.at]
                self.at = 0
            self.buffer += data
        return True

    def take(self, number: int) -> bytes:
        """So many bytes, or an EOFError."""
        if not self.need(number):
            raise EOFError("the last zstd frame is incomplete")
        self.at += number
        return bytes(memoryview(self.buffer)[self.at - number : self.at])

    def peek(self, number: int) -> bytes:
        return bytes(self.buffer[self.at : self.at + number])


def _is_skippable(source: _Source) -> bool:
    magic = source.peek(4)
    return magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5


def _skip(source: _Source) -> None:
    left = int.from_bytes(source.take(8)[4:], "little")
    while left:
        left -= len(source.take(min(left, 1 << 16)))


def _frame(source: _Source) -> Iterator[bytes]:
    if source.peek(4) != _MAGIC:
        raise zstandard.ZstdError("what stands there is no zstd frame")
    frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
    head = source.take(5)
    flags = head[4]
    single = flags >> 5 & 1
    size = (not single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    pieces = [head, source.take(size)]
    last = False
    while not last:
        blocks = 0
        while blocks < _BLOCKS and not last:
            blocks += 1
            header = source.take(3)
            word = int.from_bytes(header, "little")
            last, kind = bool(word & 1), word >> 1 & 3
            pieces += (header, source.take(1 if kind == _RLE else word >> 3))
        if last and flags & 4:
            pieces.append(source.take(4))  # the checksum
        yield frame.decompress(b"".join(pieces))
        pieces = []
    if not frame.eof:
        raise EOFError("the last zstd frame is incomplete")
