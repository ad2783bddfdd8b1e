"""A chunk → its pairs, in any process."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk
from dataservice.prepare.sources.jsonl import parse_jsonl
from dataservice.prepare.sources.mo import parse_mo
from dataservice.prepare.sources.parquet import parse_parquet
from dataservice.prepare.sources.po import parse_po
from dataservice.prepare.sources.text import parse_text
from dataservice.prepare.sources.tmx import parse_tmx
from dataservice.prepare.sources.tsv import parse_tsv
from dataservice.source_settings import Format
from shards.manifest import InputInfo

_PARSERS: Final[dict[Format, Callable[[Chunk], Pairs]]] = {
    "jsonl": parse_jsonl,
    "tsv": parse_tsv,
    "txt": parse_text,
    "parquet": parse_parquet,
    "tmx": parse_tmx,
    "po": parse_po,
    "mo": parse_mo,
}


def parse_chunk(chunk: Chunk) -> Pairs:
    """The pairs of a chunk; what is left out of it is counted.

    Raises:
        SourceError: on a damaged record, with file and line, unless damage is skipped.
    """
    return _PARSERS[chunk.format](chunk)


def count_pairs(
    inputs: Sequence[InputInfo], chunks: Iterable[Chunk], numbers: Iterable[int]
) -> list[InputInfo]:
    """The inputs with their numbers of pairs, from how many each chunk gave, damaged ones too."""
    pairs = [0] * len(inputs)
    for chunk, number in zip(chunks, numbers, strict=True):
        for at in range(chunk.input, chunk.input + len(chunk.names)):
            pairs[at] += number
    return [info.model_copy(update={"pairs": n}) for info, n in zip(inputs, pairs, strict=True)]
