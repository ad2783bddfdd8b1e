"""Chunks of JSON lines → pairs: by columns, and line by line only to name the damaged one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

from pydantic_core import from_json

from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk
from dataservice.prepare.sources.columns import BATCH, Name, Record, make_pairs, one_by_one
from dataservice.prepare.sources.damage import DamagedError, Reason
from dataservice.prepare.sources.text import decode_line, read_lines
from dataservice.source_settings import FieldName, Reading, SourceSettings

TAG_FIELDS: Final[tuple[FieldName, ...]] = ("author", "city", "year", "source")
_TEXT: Final = {str}
_NAMES: Final = {str, int, type(None)}
_SHOWN_FIELDS: Final = 8


def side_fields(source: SourceSettings, reading: Reading) -> tuple[tuple[str, ...], ...]:
    """The names under which a pair's sides may stand, the first choice first."""
    own = source.fields
    if not reading.tgt_lang:
        if "src" in own:
            return ((own["src"],),)
        return (("text",), (reading.src_lang,), ("src",))
    if "src" in own or "tgt" in own:
        return ((own.get("src", reading.src_lang), own.get("tgt", reading.tgt_lang)),)
    return ((reading.src_lang, reading.tgt_lang), ("src", "tgt"))


def nested_fields(source: SourceSettings, reading: Reading) -> tuple[str, ...]:
    """The names of a pair's sides within `translation`, as Hugging Face has it."""
    src = source.fields.get("src", reading.src_lang)
    tgt = source.fields.get("tgt", reading.tgt_lang)
    return (src, tgt) if reading.tgt_lang else (src,)


def parse_jsonl(chunk: Chunk) -> Pairs:
    """Pairs of a chunk.

    Raises:
        SourceError: at the first line that is damaged, unless damage is skipped.
    """
    lines = read_lines(chunk)
    lost: Counter[Reason] = Counter()
    columns: list[list[Any]] = [[] for _ in Record._fields]
    # few at a time: dictionaries that are dropped while the cache holds them cost half as much
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        found = _columns(chunk, batch)
        if found is None:
            parse = partial(_parse_line, chunk)
            records = one_by_one(chunk, batch, parse, lost=lost, first=chunk.first + start)
            found = list(zip(*records, strict=True))
        for column, values in zip(columns, found, strict=bool(found)):
            column += values
    src, tgt, *tags = columns
    return make_pairs(chunk, src, tgt, tags, lost)


def _columns(chunk: Chunk, lines: list[bytes]) -> list[Sequence[Any]] | None:
    """Fields of lines that are all whole and of one shape; None if one is not."""
    limit = chunk.reading.max_line_bytes
    if chunk.num_bytes > limit and max(map(len, lines)) > limit:
        return None
    try:
        records = [from_json(line, cache_strings="keys") for line in lines]
    except ValueError:
        filled = [line for line in lines if line.strip()]
        return _columns(chunk, filled) if 0 < len(filled) < len(lines) else None
    if not set(map(type, records)) <= {dict}:
        return None
    sides = _sides(chunk, records)
    if sides is None or any(not set(map(type, side)) <= _TEXT for side in sides):
        return None
    tags: list[Sequence[Any]] = []
    for field in TAG_FIELDS:
        name = chunk.source.fields.get(field, field)
        column = list(map(dict.get, records, repeat(name)))
        if not set(map(type, column)) <= _NAMES:
            return None
        tags.append(column)
    return [sides[0], sides[1] if len(sides) > 1 else [None] * len(records), *tags]


def _sides(chunk: Chunk, records: list[dict[str, Any]]) -> list[list[Any]] | None:
    """The sides of records that all have them under the same names."""
    forms = side_fields(chunk.source, chunk.reading)
    for names in forms:
        try:
            return [list(map(itemgetter(name), records)) for name in names]
        except KeyError:
            if any(name in record for record in records for name in names):
                return None  # some have it, others may have another
    try:
        nested = [record["translation"] for record in records]
        return [[r[name] for r in nested] for name in nested_fields(chunk.source, chunk.reading)]
    except (KeyError, TypeError, IndexError):
        return None


def _parse_line(chunk: Chunk, line: bytes) -> Record | None:
    if not line.strip():
        return None
    decode_line(line, chunk.reading.max_line_bytes)
    try:
        record = from_json(line)
    except ValueError as error:
        why = str(error).replace(" at line 1 column ", " at column ")
        told = f"broken JSON ({why}); mend or delete the line, or skip damage with --damaged skip"
        raise DamagedError("damaged_record", told) from error
    if not isinstance(record, dict):
        told = f"{type(record).__name__} instead of a JSON object; mend the line"
        raise DamagedError("damaged_record", told)
    return record_of(record, chunk, side_fields(chunk.source, chunk.reading))


def record_of(record: Mapping[str, Any], chunk: Chunk, forms: Sequence[tuple[str, ...]]) -> Record:
    """A record's fields, of the types that they must have; DamagedError if they have others."""
    nested = record.get("translation")
    names = next((form for form in forms if any(name in record for name in form)), None)
    fields = record
    if names is None and isinstance(nested, Mapping):
        names, fields = nested_fields(chunk.source, chunk.reading), nested
    names = names or forms[0]
    for name in names:
        if fields.get(name) is None:
            found = ", ".join(repr(key) for key in list(fields)[:_SHOWN_FIELDS] if key != name)
            raise DamagedError(
                "damaged_record",
                f"{name!r} is missing (the record has {found or 'nothing'}); mend the line, set "
                "--src-lang and --tgt-lang, or name the fields as `fields` of the source",
            )
        if type(fields[name]) is not str:
            raise DamagedError("damaged_record", f"{name!r} is not a string; mend the line")
    tags: list[Name] = []
    for field in TAG_FIELDS:
        name = chunk.source.fields.get(field, field)
        value = record.get(name)
        if type(value) not in _NAMES:
            raise DamagedError(
                "damaged_record",
                f"{name!r} is no string, whole number or null; mend the line",
            )
        tags.append(value)
    return Record(fields[names[0]], fields[names[1]] if len(names) > 1 else None, *tags)
