"""datatrove with its exact deduplication: signatures → duplicates → filter → DocumentTokenizer."""

from collections.abc import Iterable, Iterator
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)

from benchmarks.prepare.systems import datatrove_tokens
from benchmarks.prepare.systems.base import Job, batches, compare

NAME = "datatrove, exact dedup, DocumentTokenizer"
SETTINGS = (
    f"{datatrove_tokens.SETTINGS}; before it ExactDedupSignature and ExactFindDedups over both "
    "sides of the pair (xxhash, 64 bits), and ExactDedupFilter; the file is read and cleaned twice"
)
DOES = "clean, filter, dedup, encode, write"


def _content(document: Document) -> str:
    return f"{document.text}\t{document.metadata['tgt']}"


def prepare(job: Job) -> dict[str, Any]:
    config = ExactDedupConfig(content_getter=_content)
    signatures, duplicates = str(job.cache / "signatures"), str(job.cache / "duplicates")
    read = datatrove_tokens.reader
    mark = ExactDedupSignature(signatures, config=config)
    datatrove_tokens.run(job, [*read(job), mark], "signatures")
    datatrove_tokens.run(
        job, [ExactFindDedups(signatures, duplicates, config=config, lines_to_buffer=4096)], "find"
    )
    drop = ExactDedupFilter(duplicates, config=config)
    datatrove_tokens.run(job, [*read(job), drop, *datatrove_tokens.writer(job)], "tokens")
    return {}


def check(job: Job) -> dict[str, Any]:
    kept = datatrove_tokens.encoded(job, _first_of_each(batches(job.corpus)))
    return compare(datatrove_tokens.written(job), kept)


def _first_of_each(
    texts: Iterable[tuple[list[str], list[str]]],
) -> Iterator[tuple[list[str], list[str]]]:
    """Each pair once, where it comes first.

    By its texts: a tokenizer that splits at spaces gives "file path" and "filepath" the same ids.
    """
    seen: set[tuple[str, str]] = set()
    for src, tgt in texts:
        new = [pair for pair in dict.fromkeys(zip(src, tgt, strict=True)) if pair not in seen]
        seen.update(new)
        yield [src for src, _ in new], [tgt for _, tgt in new]
