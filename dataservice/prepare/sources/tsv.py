"""Chunks of tab-separated lines → pairs: src, tgt and, if known, author, city, year, source."""

from collections import Counter
from typing import Final

from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk
from dataservice.prepare.sources.columns import BATCH, Record, make_pairs, one_by_one, pairs_of
from dataservice.prepare.sources.damage import DamagedError, Reason
from dataservice.prepare.sources.text import decode_line, read_lines, read_texts

_TAGS: Final = 4


def parse_tsv(chunk: Chunk) -> Pairs:
    """Pairs of a chunk.

    Raises:
        SourceError: at the first line that is damaged, unless damage is skipped.
    """
    sides = 2 if chunk.reading.tgt_lang else 1
    lines = read_texts(chunk)
    if lines is None:
        return _parse_lines(chunk, sides)
    columns: list[list[str]] = [[] for _ in range(sides + _TAGS)]
    for start in range(0, len(lines), BATCH):
        rows = [line.split("\t") for line in lines[start : start + BATCH] if line]
        counts = set(map(len, rows))
        if counts and (min(counts) < sides or max(counts) > sides + _TAGS):
            return _parse_lines(chunk, sides)  # or there are lines of white space
        if len(counts) > 1 or sides == 1:
            most = max(counts)
            rows = [row + [""] * (most - len(row)) for row in rows if any(map(str.strip, row))]
        elif any(row[0].isspace() or not row[0] for row in rows):
            rows = [row for row in rows if any(map(str.strip, row))]
        for column, found in zip(columns, zip(*rows, strict=True), strict=False):
            column += found
        for column in columns[max(counts, default=0) :]:
            column += [""] * len(rows)
    return make_pairs(chunk, columns[0], columns[1] if sides == 2 else None, columns[sides:])


def _parse_lines(chunk: Chunk, sides: int) -> Pairs:
    limit = chunk.reading.max_line_bytes

    def parse(line: bytes) -> Record | None:
        text = decode_line(line, limit)
        if not text.strip():
            return None
        fields = text.split("\t")
        if not sides <= len(fields) <= sides + _TAGS:
            shape = "src, tgt" if sides == 2 else "the text"
            raise DamagedError(
                "damaged_record",
                f"{len(fields)} tab-separated fields; a line is {shape} and, if known, author, "
                "city, year, source; mend the line",
            )
        return Record(fields[0], fields[1] if sides == 2 else None, *fields[sides:])

    lost: Counter[Reason] = Counter()
    return pairs_of(chunk, one_by_one(chunk, read_lines(chunk), parse, lost=lost), lost)
