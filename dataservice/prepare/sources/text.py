"""Chunks of lines → lines, and of parallel or monolingual text → pairs."""

from collections import Counter

from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk
from dataservice.prepare.sources.columns import Record, make_pairs, one_by_one, pairs_of
from dataservice.prepare.sources.damage import DamagedError, Reason


def read_lines(chunk: Chunk, column: int = 0) -> list[bytes]:
    """The lines of a column without their ends, blank ones too."""
    return _split(chunk.columns[column].read_bytes())


def _split(data: bytes) -> list[bytes]:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def read_texts(chunk: Chunk, column: int = 0) -> list[str] | None:
    """The same as text; None if something of it is no UTF-8, or too long."""
    data = chunk.columns[column].read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    limit = chunk.reading.max_line_bytes
    # a character is up to four bytes
    if max(map(len, lines), default=0) > limit // 4 and has_too_long(_split(data), limit):
        return None
    return lines


def has_too_long(lines: list[bytes], limit: int) -> bool:
    return max(map(len, lines), default=0) > limit


def decode_line(line: bytes, limit: int) -> str:
    """One line as text; DamagedError if it is none."""
    if len(line) > limit:
        raise DamagedError(
            "damaged_line",
            f"a line of more than {limit} bytes; is it a text file? split it into lines, or raise "
            "--max-line-bytes",
        )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DamagedError(
            "damaged_encoding",
            f"byte {error.start + 1} (0x{line[error.start]:02x}) is not valid UTF-8; nothing is "
            "built from the file; convert it, for example with iconv",
        ) from error


def parse_text(chunk: Chunk) -> Pairs:
    """Pairs of parallel files, or lines of one file without a target."""
    columns = [read_texts(chunk, column) for column in range(len(chunk.columns))]
    good = [column for column in columns if column is not None]
    if len(good) < len(columns):
        return _parse_rows(chunk)
    if len(good) == 1:
        return make_pairs(chunk, [line for line in good[0] if line and not line.isspace()], None)
    return make_pairs(chunk, good[0], good[1])


def _parse_rows(chunk: Chunk) -> Pairs:
    limit = chunk.reading.max_line_bytes
    columns = [read_lines(chunk, column) for column in range(len(chunk.columns))]
    rows = list(enumerate(zip(*columns, strict=True), chunk.first))

    def parse(row: tuple[int, tuple[bytes, ...]]) -> Record | None:
        number, sides = row
        texts = []
        for line, name in zip(sides, chunk.names, strict=True):
            try:
                texts.append(decode_line(line, limit))
            except DamagedError as damage:
                raise DamagedError(damage.reason, damage.message, f"{name}:{number}") from damage
        if len(texts) == 1:
            return Record(texts[0], None) if texts[0].strip() else None
        return Record(texts[0], texts[1])

    lost: Counter[Reason] = Counter()
    return pairs_of(chunk, one_by_one(chunk, rows, parse, lost=lost), lost)
