"""Parquet → chunks of rows as Arrow files, and their columns → pairs. Needs pyarrow.

Texts are kept as numbers of a dictionary until their size is known: a page of 1 kB may say the same
megabyte ten thousand times.
"""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.archives import check_size
from dataservice.prepare.sources.chunk import CHUNK_BYTES, Chunk, ChunkWriter
from dataservice.prepare.sources.columns import Record, make_pairs, one_by_one, pairs_of
from dataservice.prepare.sources.damage import DamagedError, Reason, missing_package
from dataservice.prepare.sources.files import InputFile
from dataservice.prepare.sources.jsonl import TAG_FIELDS, nested_fields, record_of, side_fields

_MAX_ROWS: Final = 1 << 16
_NESTED: Final = "translation"


def parquet_chunks(file: InputFile, writer: ChunkWriter) -> Iterator[Chunk]:
    """Chunks of about 4 MiB of rows, decoded; only the columns that are wanted are read.

    Raises:
        SourceError: when it is no Parquet, has not the columns, or expands beyond the limits.
    """
    arrow, parquet = _arrow(file.name)
    copy = writer.folder / f"{writer.base.input:05d}.parquet"
    writer.folder.mkdir(parents=True, exist_ok=True)
    first, num_bytes = 1, 0
    try:
        if _copy(file, writer, copy):
            for batch, size in writer.survive(_decoded(arrow, parquet, copy, file, writer)):
                num_bytes += size
                check_size(num_bytes, file.num_bytes, file.name, writer.reading)
                yield writer.write((_as_file(arrow, batch),), first, size)
                first += batch.num_rows
    finally:
        copy.unlink(missing_ok=True)
    yield from writer.rest(first)


def _decoded(
    arrow: Any, parquet: Any, copy: Path, file: InputFile, writer: ChunkWriter
) -> Iterator[tuple[Any, int]]:
    """Batches and their sizes; whatever the library meets in a broken file is damage."""
    try:
        yield from _batches(arrow, parquet, copy, file, writer)
    except (arrow.ArrowException, LookupError, MemoryError, OSError, ValueError) as error:
        reason = " ".join(str(error).replace(str(copy), file.name).split())[:200]
        raise DamagedError(
            "damaged_archive",
            f"source {file.name} is no whole Parquet file ({reason}); what could be read of it is "
            "not used; fetch it again",
        ) from error


def _arrow(name: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise missing_package(name, "pyarrow", "parquet") from error
    return pyarrow, pyarrow.parquet


def _copy(file: InputFile, writer: ChunkWriter, copy: Path) -> bool:
    """Copy the file, which is hashed on its way, so that what is decoded is what was hashed."""
    lost = writer.lost.total()
    with copy.open("wb") as target:
        for block in writer.survive(file.blocks()):
            target.write(block)
    return writer.lost.total() == lost


def _batches(
    arrow: Any, parquet: Any, copy: Path, file: InputFile, writer: ChunkWriter
) -> Iterator[tuple[Any, int]]:
    """Batches of about 4 MiB, and the bytes of each."""
    with parquet.ParquetFile(copy) as opened:
        wanted = _wanted(opened.schema_arrow, arrow, file.name, writer)
    options = {"read_dictionary": wanted, "page_checksum_verification": True}
    with parquet.ParquetFile(copy, **options) as opened:
        row = 1
        for number in range(opened.metadata.num_row_groups):
            group = opened.metadata.row_group(number)
            most = CHUNK_BYTES * group.num_rows // max(1, group.total_byte_size)
            part = {"row_groups": [number], "columns": wanted, "use_threads": False}
            rows = max(1, min(_MAX_ROWS, most))
            for batch in opened.iter_batches(batch_size=rows, **part):
                flat = _flat(arrow, batch)
                sizes = _sizes(arrow, flat)
                limit = writer.reading.max_line_bytes
                if len(sizes) and int(sizes.max()) > limit:
                    raise SourceError(
                        f"{file.name}:row {row + int(sizes.argmax())}: a row of more than {limit} "
                        "bytes; mend it, or raise --max-line-bytes"
                    )
                yield from _cut(arrow, flat, sizes)
                row += batch.num_rows


def _wanted(schema: Any, arrow: Any, name: str, writer: ChunkWriter) -> list[str]:
    """The columns to read: the first form of both sides that is there, and the tags."""
    source, reading = writer.base.source, writer.reading
    has = {field.name: field.type for field in schema}
    forms = side_fields(source, reading)
    nested = has.get(_NESTED)
    if nested is not None and arrow.types.is_struct(nested):
        has |= {f"{_NESTED}.{field.name}": field.type for field in nested}
    inside = tuple(f"{_NESTED}.{side}" for side in nested_fields(source, reading))
    sides = next((form for form in (*forms, inside) if has.keys() >= set(form)), None)
    if sides is None:
        wanted = " or ".join(", ".join(form) for form in forms)
        raise SourceError(
            f"source {name} has the columns {', '.join(schema.names)[:200] or 'none'}, not "
            f"{wanted} or {_NESTED}; name them as `fields` of the source"
        )
    for side in sides:
        kind = has[side]
        kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
        if not (arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
            raise SourceError(
                f"source {name}: column {side!r} holds {kind}, not text; nothing is read of it; "
                "name another column as `fields` of the source"
            )
    tags = [source.fields.get(field, field) for field in TAG_FIELDS]
    return [*sides, *(tag for tag in tags if tag in has and tag not in sides)]


def _flat(arrow: Any, batch: Any) -> Any:
    """The batch with the fields of `translation` as columns of their own."""
    columns: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == _NESTED and arrow.types.is_struct(column.type):
            names = [field.name for field in column.type]
            columns |= dict(zip(names, column.flatten(), strict=True))
        else:
            columns[name] = column
    return arrow.record_batch(columns)


def _sizes(arrow: Any, batch: Any) -> npt.NDArray[np.int64]:
    """Bytes of text of each row [N]."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if arrow.types.is_dictionary(column.type):
            lengths = arrow.compute.binary_length(column.dictionary).to_numpy(zero_copy_only=False)
            indices = column.indices.fill_null(len(lengths)).to_numpy(zero_copy_only=False)
            # the library itself would follow a number that names nothing
            if len(indices) and not 0 <= indices.min() <= indices.max() <= len(lengths):
                raise LookupError("a row names a text that is not there")
            column.dictionary.validate()
            total += np.append(lengths, 0).astype(np.int64)[indices]
    return total


def _cut(arrow: Any, batch: Any, sizes: npt.NDArray[np.int64]) -> Iterator[tuple[Any, int]]:
    """The batch in parts of about 4 MiB, with texts in place of their numbers."""
    ends = np.cumsum(sizes)
    start, done = 0, 0
    while start < batch.num_rows:
        end = max(start + 1, int(np.searchsorted(ends, done + CHUNK_BYTES, "right")))
        part = batch.slice(start, end - start)
        columns = {
            name: column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column
            for name, column in zip(part.schema.names, part.columns, strict=True)
        }
        yield arrow.record_batch(columns), int(ends[end - 1]) - done
        start, done = end, int(ends[end - 1])


def _as_file(arrow: Any, batch: Any) -> bytes:
    sink = io.BytesIO()
    with arrow.ipc.new_file(sink, batch.schema) as out:
        out.write_batch(batch)
    return sink.getvalue()


def parse_parquet(chunk: Chunk) -> Pairs:
    """Pairs of a chunk.

    Raises:
        SourceError: at the first row that is damaged, unless damage is skipped.
    """
    data = chunk.columns[0].read_bytes()
    if not data:
        return make_pairs(chunk, [], [])
    arrow, _ = _arrow(chunk.names[0])
    with arrow.ipc.open_file(data) as opened:
        table = opened.read_all()
    columns: dict[str, list[Any]] = {}
    whole = True
    for name in table.column_names:
        try:
            columns[name] = table.column(name).to_pylist()
        except (UnicodeDecodeError, arrow.ArrowException):
            columns[name] = [_value(scalar) for scalar in table.column(name)]
            whole = False
    nested = nested_fields(chunk.source, chunk.reading)
    forms = (*side_fields(chunk.source, chunk.reading), nested)
    form = next(form for form in forms if columns.keys() >= set(form))
    sides = [columns[name] for name in form]
    tags = [columns.get(chunk.source.fields.get(field, field)) for field in TAG_FIELDS]
    whole &= all(set(map(type, side)) <= {str} for side in sides)
    if whole and all(column is None or _are_names(column) for column in tags):
        return make_pairs(chunk, sides[0], sides[1] if len(sides) > 1 else None, tags)
    return _parse_rows(chunk, columns, form)


def _are_names(column: list[Any]) -> bool:
    return set(map(type, column)) <= {str, int, type(None)}


def _value(scalar: Any) -> Any:
    """A value, or the damage that stands in its place."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error


def _parse_rows(chunk: Chunk, columns: dict[str, list[Any]], form: tuple[str, ...]) -> Pairs:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]

    def parse(row: dict[str, Any]) -> Record:
        for name, value in row.items():
            if isinstance(value, UnicodeDecodeError):
                raise DamagedError("damaged_encoding", f"{name!r} is not valid UTF-8; mend the row")
        return record_of(row, chunk, (form,))

    lost: Counter[Reason] = Counter()
    return pairs_of(chunk, one_by_one(chunk, rows, parse, lost=lost, unit="row "), lost)
