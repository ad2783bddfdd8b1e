"""Arrays and bytes under names ↔ one file of a work folder, from which each is read alone.

To make a file costs more than to write what most of them hold, and processes that make theirs in
one folder wait for each other.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

Section = bytes | npt.NDArray[np.generic]

_HEAD: Final = 8  # bytes that say how long the table is


def dump_sections(sections: Mapping[str, Section]) -> Iterator[bytes]:
    """The bytes of a file, piece by piece: a table of what lies where, then the sections."""
    arrays = {
        name: np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
        for name, content in sections.items()
    }
    table: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    end = 0
    for name, array in arrays.items():
        table[name] = (end, array.dtype.str, array.shape)
        end += array.nbytes
    told = json.dumps(table).encode()
    yield len(told).to_bytes(_HEAD, "little") + told
    for content in sections.values():
        yield content if isinstance(content, bytes) else content.tobytes()


class SectionFile:
    """A file of sections, open to be read; to be closed. One that was cut is an EOFError."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            size = int.from_bytes(self._read(0, _HEAD), "little")
            self._base = _HEAD + size
            self._table: dict[str, Any] = json.loads(self._read(_HEAD, size))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def array(self, name: str) -> npt.NDArray[Any]:
        """A section in its dtype and shape, not to be written to."""
        _, dtype, shape = self._table[name]
        return np.frombuffer(self._read(*self._place(name)), dtype).reshape(shape)

    def text(self, name: str) -> str:
        """A section of UTF-8."""
        return self._read(*self._place(name)).decode()

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a section, read as they are asked for."""
        begin, left = self._place(name)
        self._file.seek(begin)
        while left:
            if not (line := self._file.readline(left)):
                raise self._cut()
            left -= len(line)
            yield line

    def _place(self, name: str) -> tuple[int, int]:
        """Where a section begins, and its bytes."""
        begin, dtype, shape = self._table[name]
        return self._base + begin, np.dtype(dtype).itemsize * math.prod(shape)

    def _read(self, begin: int, num_bytes: int) -> bytes:
        self._file.seek(begin)
        data = self._file.read(num_bytes)
        if len(data) != num_bytes:
            raise self._cut()
        return data

    def _cut(self) -> EOFError:
        return EOFError(f"{self._file.name} is shorter than it was")
