"""Columns of raw fields → pairs, with the source's own tags where a record brings none."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk
from dataservice.prepare.sources.damage import DamagedError, Reason

BATCH: Final = 256

Name = str | int | None


class Record(NamedTuple):
    """One record as it is read where a whole column cannot be."""

    src: str
    tgt: str | None
    author: Name = None
    city: Name = None
    year: Name = None
    source: Name = None


def make_pairs(
    chunk: Chunk,
    src: list[str],
    tgt: list[str] | None,
    tags: Sequence[Sequence[Name] | None] = (None, None, None, None),
    lost: Counter[Reason] | None = None,
) -> Pairs:
    """Pairs of equally long columns; `tags` are author, city, year and source."""
    own = chunk.source
    year = None if own.year is None else str(own.year)
    defaults = (chunk.author or own.author, own.city, year, chunk.label)
    author, city, years, source = (
        _filled(column, default, len(src)) for column, default in zip(tags, defaults, strict=True)
    )
    lost = Counter[Reason](dict(chunk.damaged)) + (lost or Counter())
    return Pairs(
        src=src,
        tgt=tgt if chunk.reading.tgt_lang else None,
        author=author,
        city=city,
        year=years,
        source=source,
        damaged=Counter({(chunk.label, reason): number for reason, number in lost.items()}),
    )


def _filled(column: Sequence[Name] | None, default: str | None, number: int) -> list[Any]:
    """A column of names; the default stands where there is none."""
    kinds = {type(None)} if column is None else set(map(type, column))
    if column is None or kinds == {type(None)}:
        return [default] * number
    if int in kinds:
        return [str(name) if type(name) is int else name or default for name in column]
    if kinds == {str} and "" not in column:
        return list(column)
    return [name or default for name in column]


def one_by_one(
    chunk: Chunk,
    rows: Sequence[Any],
    parse: Callable[[Any], Record | None],
    *,
    lost: Counter[Reason],
    first: int | None = None,
    unit: str = "",
) -> list[Record]:
    """Records of rows in which something is damaged: which one, and why.

    `parse` gives None for what is no record. What is skipped is counted in `lost`.

    Raises:
        SourceError: at the first damaged row, unless damage is skipped.
    """
    records = []
    for number, row in enumerate(rows, chunk.first if first is None else first):
        try:
            record = parse(row)
        except DamagedError as damage:
            if chunk.reading.damaged == "error":
                place = damage.place or f"{chunk.names[0]}:{unit}{number}"
                raise SourceError(f"{place}: {damage.message}") from damage
            lost[damage.reason] += 1
        else:
            if record is not None:
                records.append(record)
    return records


def pairs_of(chunk: Chunk, records: Sequence[Record], lost: Counter[Reason]) -> Pairs:
    """Pairs of records."""
    columns: list[list[Any]] = [list(column) for column in zip(*records, strict=True)]
    src, tgt, *tags = columns or [[] for _ in Record._fields]
    return make_pairs(chunk, src, tgt, tags, lost)
