"""Source files → chunks of raw lines (cheap, in one pass), and chunks → pairs (in any process).

Nothing is skipped in silence: a cut archive, a byte that is no UTF-8, a missing line or a broken
record is an error that names the file and the line.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol, cast

import zstandard

from dataservice.demo.corpus import demo_pairs
from dataservice.errors import SourceError
from dataservice.prepare.pair import Pair
from dataservice.settings import SourceSettings
from shards.manifest import InputInfo

_SURROGATE = re.compile("[\ud800-\udfff]")
_READ_BYTES = 1 << 20
_MAX_LINE_BYTES = 16 << 20
CHUNK_BYTES = 4 << 20


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Raw lines of one source, copied out: one file a column, equally many lines in each."""

    source: SourceSettings
    first_line: int
    columns: tuple[Path, ...]
    num_bytes: int


class SourceFile:
    """The lines of a plain, .gz or .zst file; its digest and size are known after the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_lines = 0
        self.num_bytes = 0
        self._digest: _Hash = hashlib.sha256()

    def info(self, pairs: int) -> InputInfo:
        """What the manifest says of the file, once it is read to its end."""
        return InputInfo(
            file=self.path.name,
            sha256=self._digest.hexdigest(),
            bytes=self.num_bytes,
            pairs=pairs,
        )

    def lines(self) -> Iterator[bytes]:
        """Its lines without their ends, a byte order mark dropped.

        Raises:
            SourceError: when the file is missing, cut, no archive, or has an endless line.
        """
        rest = b""
        try:
            for block in self._blocks():
                pieces = (rest + block).split(b"\n")
                rest = pieces.pop()
                if len(rest) > _MAX_LINE_BYTES:
                    raise SourceError(
                        f"{self.path}:{self.num_lines + len(pieces) + 1}: a line of more than "
                        f"{_MAX_LINE_BYTES >> 20} MiB; is it a text file? split it into lines"
                    )
                yield from map(self._line, pieces)
        except FileNotFoundError as error:
            raise SourceError(f"source {self.path} is not there; check its path") from error
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise SourceError(
                f"source {self.path} is cut or damaged ({error}); what could be read of it "
                "is not used; fetch it again"
            ) from error
        if rest:
            yield self._line(rest)

    def _line(self, line: bytes) -> bytes:
        self.num_lines += 1
        if self.num_lines == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.removesuffix(b"\r")

    def _blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            reader = cast("IO[bytes]", _HashingReader(file, self))
            if self.path.suffix == ".gz":
                # GzipFile raises EOFError on a cut member
                archive: IO[bytes] = cast("IO[bytes]", gzip.GzipFile(fileobj=reader))
                yield from iter(lambda: archive.read(_READ_BYTES), b"")
                if not self.num_bytes:
                    raise EOFError("it has no bytes")
            elif self.path.suffix == ".zst":
                yield from _zstd_blocks(reader)
            else:
                yield from iter(lambda: reader.read(_READ_BYTES), b"")

    def count(self, data: bytes) -> None:
        """Take note of bytes read from the disk."""
        self._digest.update(data)
        self.num_bytes += len(data)


class _HashingReader:
    """Just enough of a file to be read forward, counted on its way."""

    def __init__(self, file: IO[bytes], owner: SourceFile) -> None:
        self._file = file
        self._owner = owner

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._owner.count(data)
        return data


def _zstd_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Decompress all frames; zstandard's own stream reader says nothing of a cut one."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    started = False
    while data := file.read(_READ_BYTES):
        while data:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(data)
            started = True
            data = frame.unused_data if frame.eof else b""
    if not (started and frame.eof):
        raise EOFError("the last zstd frame is incomplete")


def read_chunks(source: SourceSettings, folder: Path, inputs: list[InputInfo]) -> Iterator[Chunk]:
    """Copy a source into chunks of about 4 MiB, in one pass; then add its files to `inputs`.

    Raises:
        SourceError: as above, and when parallel files have different numbers of lines.
    """
    _check_format(source)
    files = [SourceFile(path) for path in source.files]
    readers = [file.lines() for file in files]
    rows: list[list[bytes]] = []
    size, first_line, blank = 0, 1, 0
    while True:
        row = [line for line in (next(reader, None) for reader in readers) if line is not None]
        if len(row) < len(readers):
            if row:
                _raise_unequal(files, readers)
            break
        rows.append(row)
        blank += _is_blank(row, source)
        size += sum(map(len, row)) + len(row)
        if size >= CHUNK_BYTES:
            yield _write_chunk(source, folder, first_line, rows, size)
            first_line += len(rows)
            rows, size = [], 0
    if rows:
        yield _write_chunk(source, folder, first_line, rows, size)
    inputs.extend(file.info(files[0].num_lines - blank) for file in files)


def _is_blank(row: Sequence[bytes], source: SourceSettings) -> bool:
    """Whether a row is an empty line between records, which is no record."""
    return source.path is not None and not row[0].strip()


def _write_chunk(
    source: SourceSettings, folder: Path, first_line: int, rows: list[list[bytes]], size: int
) -> Chunk:
    folder.mkdir(parents=True, exist_ok=True)
    columns = []
    for number, lines in enumerate(zip(*rows, strict=True)):
        column = folder / f"{first_line:012d}.{number}"
        column.write_bytes(b"\n".join(lines))
        columns.append(column)
    return Chunk(source=source, first_line=first_line, columns=tuple(columns), num_bytes=size)


def _raise_unequal(files: list[SourceFile], readers: list[Iterator[bytes]]) -> NoReturn:
    for reader in readers:
        for _ in reader:
            pass
    counts = " and ".join(f"{file.path} has {file.num_lines}" for file in files)
    raise SourceError(
        f"parallel files differ in length: {counts} lines; line N of one must translate line N "
        "of the other, so nothing is read; align the files"
    )


def _format(path: Path) -> str:
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return name.rsplit(".", 1)[-1].lower()


def _check_format(source: SourceSettings) -> None:
    if source.path is not None and _format(source.path) not in ("jsonl", "tsv"):
        raise SourceError(
            f"source {source.path} is neither .jsonl nor .tsv (plain, .gz or .zst); rename it, or "
            "give two parallel text files as RU.txt,EN.txt"
        )


def parse_chunk(chunk: Chunk) -> Iterator[Pair]:
    """The pairs of a chunk.

    Raises:
        SourceError: on invalid UTF-8 or a broken record, with file and line.
    """
    path = chunk.source.path
    parse = (
        _parse_lines if path is None else {"jsonl": _parse_json, "tsv": _parse_tsv}[_format(path)]
    )
    columns = [column.read_bytes().split(b"\n") for column in chunk.columns]
    for offset, row in enumerate(zip(*columns, strict=True)):
        number = chunk.first_line + offset
        if _is_blank(row, chunk.source):
            continue
        texts = [
            _decode(line, file, number) for line, file in zip(row, chunk.source.files, strict=True)
        ]
        yield parse(texts, chunk.source, f"{chunk.source.files[0]}:{number}")


def _decode(line: bytes, file: Path, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file}:{number}: byte {error.start + 1} (0x{line[error.start]:02x}) is not valid "
            "UTF-8; nothing is built from the file; convert it, for example with iconv"
        ) from error


def _parse_lines(texts: list[str], source: SourceSettings, where: str) -> Pair:
    del where
    return _pair(texts[0], texts[1], {}, source)


def _parse_tsv(texts: list[str], source: SourceSettings, where: str) -> Pair:
    fields = texts[0].split("\t")
    if not 2 <= len(fields) <= 6:
        raise SourceError(
            f"{where}: {len(fields)} tab-separated fields; a line is RU, EN and, if known, "
            "author, city, year, source; mend the line"
        )
    extra = dict(zip(("author", "city", "year", "source"), fields[2:], strict=False))
    return _pair(fields[0], fields[1], extra, source)


def _parse_json(texts: list[str], source: SourceSettings, where: str) -> Pair:
    try:
        record = json.loads(texts[0])
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: broken JSON ({error}); mend or delete the line") from error
    if not isinstance(record, dict):
        raise SourceError(
            f"{where}: {type(record).__name__} instead of a JSON object; mend the line"
        )
    for side in ("ru", "en"):
        text = record.get(side)
        if not isinstance(text, str) or _has_surrogates(text):
            raise SourceError(f"{where}: {side!r} is missing or not a string; mend the line")
    for key in ("author", "city", "year", "source"):
        if not _is_name(record.get(key)):
            raise SourceError(f"{where}: {key!r} is no string, whole number or null; mend the line")
    return _pair(record["ru"], record["en"], record, source)


def _is_name(value: object) -> bool:
    if isinstance(value, str):
        return not _has_surrogates(value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _has_surrogates(text: str) -> bool:
    """Whether a text holds half a character, which JSON can spell and UTF-8 cannot."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def _pair(ru: str, en: str, extra: dict[str, Any], source: SourceSettings) -> Pair:
    def known(key: str, default: str | int | None) -> str | None:
        value = extra.get(key)
        value = default if value is None or value == "" else value
        return None if value is None else str(value)

    return Pair(
        ru=ru,
        en=en,
        author=known("author", source.author),
        city=known("city", source.city),
        year=known("year", source.year),
        source=known("source", source.label) or source.label,
    )


def write_demo_source(path: Path, num_pairs: int, seed: int) -> SourceSettings:
    """Write the built-in corpus as a JSONL source, so that it takes the path of any other."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for pair in demo_pairs(num_pairs, seed):
            record = {
                "ru": pair.ru,
                "en": pair.en,
                "author": pair.author,
                "city": pair.city,
                "year": pair.year,
                "source": pair.source,
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return SourceSettings(path=path)
