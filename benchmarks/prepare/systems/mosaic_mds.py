"""MosaicML Streaming: JSON lines → sentencepiece → MDSWriter, zstd."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

try:
    import torchvision.datasets
    import torchvision.transforms.functional  # noqa: F401
except (ImportError, RuntimeError):
    from benchmarks.torchvision_names import pretend

    pretend()

from streaming import MDSWriter, StreamingDataset

from benchmarks.prepare.systems.base import Job, compare
from benchmarks.prepare.systems.sentencepiece_ids import encoded

NAME = "MosaicML Streaming, MDSWriter"
SETTINGS = (
    "batches of 1,000 pairs cleaned and encoded by sentencepiece; MDSWriter with ndarray:uint16 "
    "columns, compression zstd, shards of 64 MiB"
)
DOES = "clean, filter, encode, compress"

_COLUMNS = {"src": "ndarray:uint16", "tgt": "ndarray:uint16"}


def prepare(job: Job) -> dict[str, Any]:
    out = str(job.folder / "mds")
    with MDSWriter(out=out, columns=_COLUMNS, compression="zstd", size_limit=1 << 26) as writer:
        for src, tgt in encoded(job):
            writer.write({"src": np.array(src, np.uint16), "tgt": np.array(tgt, np.uint16)})
    return {}


def check(job: Job) -> dict[str, Any]:
    return compare(_written(job), encoded(job))


def _written(job: Job) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    data = StreamingDataset(local=str(job.folder / "mds"), batch_size=1, shuffle=False)
    for sample in data:
        yield sample["src"], sample["tgt"]
