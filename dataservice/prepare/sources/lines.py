"""Files of lines → chunks, cut at line ends: of one file, or of two whose lines correspond.

Where a chunk ends depends on the text alone, not on how it is packed or how fast it comes.
"""

from collections.abc import Iterator
from typing import Final, NoReturn

import numpy as np

from dataservice.errors import SourceError
from dataservice.prepare.sources.chunk import CHUNK_BYTES, Chunk, ChunkWriter
from dataservice.prepare.sources.files import InputFile

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NEWLINE: Final = 10


def line_chunks(file: InputFile, writer: ChunkWriter) -> Iterator[Chunk]:
    """Chunks of a file of lines: each ends with the first line that ends beyond 4 MiB."""
    pending = bytearray()
    first = 1
    too_long = False  # within a line of which nothing is kept
    whole = False
    for block in writer.survive(_ending(file)):
        whole = not block
        pending += block
        if too_long:
            at = pending.find(b"\n")
            del pending[: at + 1 or len(pending)]
            too_long = at < 0
        while (at := pending.find(b"\n", CHUNK_BYTES - 1)) >= 0:
            yield _write(writer, pending, at + 1, first)
            first += pending.count(b"\n", 0, at + 1)
            del pending[: at + 1]
        start = pending.rfind(b"\n") + 1
        if len(pending) - start > writer.reading.max_line_bytes:
            number = first + pending.count(b"\n")
            writer.damage("damaged_line", too_long_line(file.name, number, writer))
            if start:
                yield _write(writer, pending, start, first)
            first = number + 1
            pending.clear()
            too_long = True
    # the last line of a file that was cut is cut as well
    end = len(pending) if whole else pending.rfind(b"\n") + 1
    if end:
        yield _write(writer, pending, end, first)
    yield from writer.rest(first)


def _ending(file: InputFile) -> Iterator[bytes]:
    """The blocks of a file, and an empty one once it has come to its end."""
    for block in file.blocks():
        if block:
            yield block
    yield b""


def too_long_line(name: str, number: int, writer: ChunkWriter) -> str:
    return (
        f"{name}:{number}: a line of more than {writer.reading.max_line_bytes} bytes; is it a text "
        "file? split it into lines, or raise --max-line-bytes"
    )


def _write(writer: ChunkWriter, pending: bytearray, end: int, first: int) -> Chunk:
    start = 0
    if first == 1 and pending.startswith(_BYTE_ORDER_MARK):
        start = len(_BYTE_ORDER_MARK)
    with memoryview(pending)[start:end] as data:
        return writer.write((data,), first, end)


class _Side:
    """The lines of one of the parallel files that are held, and whether more come."""

    def __init__(self, file: InputFile, writer: ChunkWriter) -> None:
        self.file = file
        self.pending = bytearray()
        self.num_lines = 0  # of those that were cut off
        self.whole = True
        self._writer = writer
        self._blocks = writer.survive(_ending(file))
        self._ended = False
        self._first = True

    def fill(self) -> int:
        """Hold about half a chunk, or what is left; how many lines that is."""
        at = -1
        while not self._ended and (at := self.pending.find(b"\n", CHUNK_BYTES // 2 - 1)) < 0:
            self._add()
            self._check_line()
        return self.pending.count(b"\n", 0, at + 1 if at >= 0 else len(self.pending))

    def _add(self) -> None:
        block = next(self._blocks, None)
        if block:
            self.pending += block
            if self._first and len(self.pending) >= len(_BYTE_ORDER_MARK):
                self._first = False
                if self.pending.startswith(_BYTE_ORDER_MARK):
                    del self.pending[: len(_BYTE_ORDER_MARK)]
            return
        self._ended = True
        self.whole = block is not None
        if not self.pending.endswith(b"\n"):
            if self.whole and self.pending:
                self.pending += b"\n"
            else:  # the last line of a file that was cut is cut as well
                del self.pending[self.pending.rfind(b"\n") + 1 :]

    def _check_line(self) -> None:
        start = self.pending.rfind(b"\n") + 1
        if len(self.pending) - start > self._writer.reading.max_line_bytes:
            number = self.num_lines + self.pending.count(b"\n") + 1
            raise SourceError(too_long_line(self.file.name, number, self._writer))

    def end_of(self, num_lines: int) -> int:
        """Where the first so many lines end."""
        ends = np.flatnonzero(np.frombuffer(self.pending, np.uint8) == _NEWLINE)
        return int(ends[num_lines - 1]) + 1

    def cut(self, num_lines: int, end: int) -> None:
        del self.pending[:end]
        self.num_lines += num_lines

    def count_rest(self) -> int:
        """How many lines the whole file has."""
        total = self.num_lines + self.pending.count(b"\n")
        self.pending.clear()
        while not self._ended:
            self._add()
            total += self.pending.count(b"\n")
            del self.pending[: self.pending.rfind(b"\n") + 1]
        return total


def parallel_chunks(files: tuple[InputFile, ...], writer: ChunkWriter) -> Iterator[Chunk]:
    """Chunks of parallel files, each cut after the same number of lines.

    Raises:
        SourceError: when one has more lines than another, and none was cut with damage skipped.
    """
    sides = [_Side(file, writer) for file in files]
    first = 1
    while True:
        held = [side.fill() for side in sides]
        num_lines = min(held)
        if not num_lines:
            break
        ends = [side.end_of(num_lines) for side in sides]
        columns = tuple(bytes(side.pending[:end]) for side, end in zip(sides, ends, strict=True))
        yield writer.write(columns, first)
        for side, end in zip(sides, ends, strict=True):
            side.cut(num_lines, end)
        first += num_lines
    if any(held) and all(side.whole for side in sides):
        _raise_unequal(sides)
    yield from writer.rest(first)


def _raise_unequal(sides: list[_Side]) -> NoReturn:
    counts = " and ".join(f"{side.file.name} has {side.count_rest()}" for side in sides)
    raise SourceError(
        f"parallel files differ in length: {counts} lines; line N of one must translate line N "
        "of the other, so nothing is read; align the files"
    )
