"""litData: JSON lines → sentencepiece → optimize with one worker, zstd."""

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from litdata import StreamingDataset, optimize

from benchmarks.prepare.systems.base import BATCH, Ids, Job, cleaned, compare
from benchmarks.prepare.systems.sentencepiece_ids import encoded, load

NAME = "litData, optimize"
SETTINGS = (
    "optimize(num_workers=1, start_method='fork', keep_data_ordered=True, chunk_bytes='64MB', "
    "compression='zstd') over byte ranges of the file, each a generator of pairs that are cleaned "
    "and encoded by sentencepiece, 1,000 in a call; forked, since a spawned worker first imports "
    "everything again"
)
DOES = "clean, filter, encode, compress"

_RANGE_BYTES = 4 << 20


def prepare(job: Job) -> dict[str, Any]:
    optimize(
        fn=partial(_samples, str(job.corpus), str(job.model)),
        inputs=_ranges(job.corpus),
        output_dir=str(job.folder / "chunks"),
        num_workers=1,
        start_method="fork",
        keep_data_ordered=True,
        chunk_bytes="64MB",
        compression="zstd",
        verbose=False,
    )
    return {}


def _ranges(corpus: Path) -> list[tuple[int, int]]:
    """Where parts of whole lines begin and end."""
    found, begin, size = [], 0, corpus.stat().st_size
    with corpus.open("rb") as file:
        while begin < size:
            file.seek(min(size, begin + _RANGE_BYTES))
            file.readline()
            found.append((begin, file.tell()))
            begin = file.tell()
    return found


def _samples(corpus: str, model: str, part: tuple[int, int]) -> Iterator[dict[str, Ids]]:
    processor = load(Path(model))
    with Path(corpus).open("rb") as file:
        file.seek(part[0])
        lines = list(io.BytesIO(file.read(part[1] - part[0])))
    for start in range(0, len(lines), BATCH):
        told = map(json.loads, lines[start : start + BATCH])
        kept = cleaned((one["ru"], one["en"]) for one in told)
        src = processor.encode([src for src, _ in kept])
        tgt = processor.encode([tgt for _, tgt in kept])
        for left, right in zip(src, tgt, strict=True):
            yield {"src": np.array(left, np.uint16), "tgt": np.array(right, np.uint16)}


def check(job: Job) -> dict[str, Any]:
    return compare(_written(job), encoded(job))


def _written(job: Job) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    data = StreamingDataset(str(job.folder / "chunks"), shuffle=False, cache_dir=str(job.cache))
    for sample in data:
        yield sample["src"], sample["tgt"]
