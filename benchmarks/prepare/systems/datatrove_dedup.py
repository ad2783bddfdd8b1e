"""datatrove with its exact deduplication: signatures → duplicates → filter → DocumentTokenizer."""

from collections.abc import Iterator, Sequence
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)

from benchmarks.prepare.systems import datatrove_tokens
from benchmarks.prepare.systems.base import Job, compare

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
    return compare(datatrove_tokens.written(job), _expected(job))


def _expected(job: Job) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Each pair of ids once, where it comes first.

    A pair of ids stands for one pair of texts, since byte fallback loses nothing.
    """
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for src, tgt in datatrove_tokens.expected(job):
        if (key := (tuple(src), tuple(tgt))) not in seen:
            seen.add(key)
            yield src, tgt
