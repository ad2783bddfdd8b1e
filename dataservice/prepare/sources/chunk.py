"""Raw records of one source, copied out → a chunk: small to send, parsed anywhere."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from dataservice.errors import SourceError
from dataservice.prepare.sources.damage import DamagedError, Reason
from dataservice.prepare.work.spill import SpillFile, spill
from dataservice.source_settings import Format, Reading, SourceSettings

CHUNK_BYTES: Final = 4 << 20
Buffer = bytes | bytearray | memoryview
Piece = TypeVar("Piece")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """About 4 MiB of one source: one file a column, equally many lines in each."""

    source: SourceSettings
    reading: Reading
    format: Format
    input: int
    """Place of its file, or of the first of them, among the inputs of the build."""
    names: tuple[str, ...]
    """What errors call the file of each column."""
    label: str
    first: int
    """Number of the first line or record, from 1."""
    columns: tuple[Path, ...]
    num_bytes: int
    spilled: tuple[SpillFile, ...] = ()
    """The columns below the folder of their source, by whose digests the text is known."""
    author: str | None = None
    """Of all pairs that carry none, as the file itself says."""
    encoding: str = "utf-8"
    reversed: bool = False
    """Whether the file's first side is the target."""
    damaged: tuple[tuple[Reason, int], ...] = ()
    """What was lost before the chunk was cut."""


@dataclass(slots=True)
class ChunkWriter:
    """Writes the chunks of one input; what is damaged is an error or counted with the next one."""

    base: Chunk
    """What all chunks of the input share."""
    folder: Path
    lost: Counter[Reason] = field(default_factory=Counter)

    @property
    def reading(self) -> Reading:
        return self.base.reading

    def write(self, columns: tuple[Buffer, ...], first: int, num_bytes: int | None = None) -> Chunk:
        """Write one chunk; `num_bytes` of raw text, if it is not what is written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        spilled = tuple(
            spill(self.folder, f"{self.base.input:05d}-{first:012d}.{number}", data)
            for number, data in enumerate(columns)
        )
        size = sum(map(len, columns)) if num_bytes is None else num_bytes
        damaged, self.lost = tuple(sorted(self.lost.items())), Counter()
        return replace(
            self.base,
            first=first,
            columns=tuple(file.under(self.folder) for file in spilled),
            num_bytes=size,
            spilled=spilled,
            damaged=damaged,
        )

    def damage(self, reason: Reason, message: str) -> None:
        """Count what is lost.

        Raises:
            SourceError: with the message, unless damage is skipped.
        """
        if self.reading.damaged == "error":
            raise SourceError(message)
        self.lost[reason] += 1

    def survive(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The pieces of a file until it ends or is damaged."""
        try:
            yield from pieces
        except DamagedError as damage:
            self.damage(damage.reason, damage.message)

    def rest(self, first: int) -> Iterator[Chunk]:
        """An empty chunk if there is damage that no chunk has told of."""
        if self.lost:
            yield self.write((b"",) * len(self.base.names), first)
