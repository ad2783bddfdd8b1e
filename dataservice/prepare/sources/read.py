"""Sources → chunks of raw records, each in one cheap pass."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from dataservice.prepare.sources.chunk import Chunk, ChunkWriter
from dataservice.prepare.sources.files import InputFile
from dataservice.prepare.sources.lines import line_chunks, parallel_chunks
from dataservice.prepare.sources.locate import locate
from dataservice.prepare.sources.mo import mo_chunks
from dataservice.prepare.sources.parquet import parquet_chunks
from dataservice.prepare.sources.place import Place
from dataservice.prepare.sources.po import po_chunks
from dataservice.prepare.sources.remote import fetched
from dataservice.prepare.sources.tmx import tmx_chunks
from dataservice.source_settings import Format, Reading, SourceSettings, is_url
from shards.manifest import InputInfo

_CUTTERS: Final[dict[Format, Callable[[InputFile, ChunkWriter], Iterator[Chunk]]]] = {
    "jsonl": line_chunks,
    "tsv": line_chunks,
    "txt": line_chunks,
    "parquet": parquet_chunks,
    "tmx": tmx_chunks,
    "po": po_chunks,
    "mo": mo_chunks,
}


def read_chunks(
    source: SourceSettings,
    folder: Path,
    inputs: list[InputInfo],
    reading: Reading | None = None,
) -> Iterator[Chunk]:
    """Copy a source into chunks of about 4 MiB, in one pass; add each file read to `inputs`.

    How many pairs an input holds is known when its chunks are parsed: `count_pairs`.

    Raises:
        SourceError: when a source is not there, damaged, or more than it may be.
    """
    reading = reading or Reading()
    for places in locate(source, reading):
        yield from _read(places, source, folder, inputs, reading)


def _read(
    places: tuple[Place, ...],
    source: SourceSettings,
    folder: Path,
    inputs: list[InputInfo],
    reading: Reading,
) -> Iterator[Chunk]:
    base = Chunk(
        source=source,
        reading=reading,
        format=places[0].format,
        input=len(inputs),
        names=tuple(place.name for place in places),
        label=places[0].label,
        first=1,
        columns=(),
        num_bytes=0,
    )
    writer = ChunkWriter(base, folder)
    spooled: list[Path] = []
    try:
        files = []
        for number, place in enumerate(places):
            path = Path(place.location)
            if is_url(place.location):
                path = folder / f"{len(inputs):05d}.{number}.spool"
                spooled.append(path)
                fetched(place, path, reading, public_only=source.public_only)
            files.append(InputFile(path, place.name, place.packing, reading))
        if len(files) > 1:
            yield from parallel_chunks(tuple(files), writer)
        else:
            yield from _CUTTERS[base.format](files[0], writer)
        inputs.extend(
            file.info(Path(place.name).name) for file, place in zip(files, places, strict=True)
        )
    finally:
        for path in spooled:
            path.unlink(missing_ok=True)
