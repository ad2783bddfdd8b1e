"""datatrove: JsonlReader → clean → filter → DocumentTokenizer, in one local task."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.utils.logging import logger
from tokenizers import Tokenizer

from benchmarks.prepare.systems.base import Job, batches, clean, compare, keep

NAME = "datatrove, DocumentTokenizer"
SETTINGS = (
    "LocalPipelineExecutor(tasks=1, workers=1): JsonlReader, a step that cleans, LambdaFilter, a "
    "step that makes two documents of a pair, DocumentTokenizer(shuffle_documents=False), which "
    "encodes 10,000 at once; BPE of tokenizers with byte fallback"
)
DOES = "clean, filter, encode, write"


def reader(job: Job) -> list[Any]:
    """From the file to cleaned and filtered pairs."""
    files = {"data_folder": str(job.corpus.parent), "glob_pattern": job.corpus.name}
    return [JsonlReader(**files, adapter=_document), _clean, LambdaFilter(_keep)]


def run(job: Job, steps: list[Any], name: str) -> None:
    """One task in this process."""
    logger.remove()
    logging.disable()
    folder = str(job.cache / f"log-{name}")
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=folder).run()


def writer(job: Job) -> list[Any]:
    """From pairs to ids."""
    tokens = DocumentTokenizer(
        str(job.folder), tokenizer_name_or_path=str(job.tokenizer), shuffle_documents=False
    )
    return [_sides, tokens]


def _document(self: Any, data: dict[str, Any], path: str, id_in_file: int | str) -> dict[str, Any]:
    del self
    return {"text": data["ru"], "id": f"{path}/{id_in_file}", "metadata": {"tgt": data["en"]}}


def _clean(data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
    del rank, world_size
    for document in data:
        document.text = clean(document.text)
        document.metadata["tgt"] = clean(document.metadata["tgt"])
        yield document


def _keep(document: Document) -> bool:
    return keep(document.text, document.metadata["tgt"])


def _sides(data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
    del rank, world_size
    for document in data:
        yield document
        yield Document(text=document.metadata["tgt"], id=document.id)


def prepare(job: Job) -> dict[str, Any]:
    run(job, [*reader(job), *writer(job)], "tokens")
    return {}


def check(job: Job) -> dict[str, Any]:
    return compare(written(job), encoded(job, batches(job.corpus)))


def written(job: Job) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Documents by turns are a pair's src and tgt."""
    (file,) = job.folder.glob("*.ds")
    ids = np.fromfile(file, np.uint16)
    ends = np.fromfile(f"{file}.index", np.uint64).astype(np.int64)
    documents = np.split(ids, ends[:-1])
    yield from zip(documents[::2], documents[1::2], strict=True)


def encoded(
    job: Job, texts: Iterable[tuple[list[str], list[str]]]
) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Ids of sources and targets, a pair at a time, without datatrove."""
    tokenizer = Tokenizer.from_file(str(job.tokenizer))
    for sides in texts:
        ids = [
            [one.ids for one in tokenizer.encode_batch_fast(side, add_special_tokens=False)]
            for side in sides
        ]
        yield from zip(*ids, strict=True)
