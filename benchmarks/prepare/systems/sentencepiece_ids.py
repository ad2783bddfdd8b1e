"""Pairs → ids by sentencepiece in batches: what peers that bring no tokenizer are given."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import sentencepiece

from benchmarks.prepare.systems.base import Job, batches


def load(model: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(model))


def encoded(job: Job) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """The ids of both sides of every kept pair, in order."""
    processor = load(job.model)
    for src, tgt in batches(job.corpus):
        yield from zip(processor.encode(src), processor.encode(tgt), strict=True)
