"""MosaicML Streaming: MDS shards, zstd."""

import importlib.machinery
import sys
import types
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torchvision.datasets
    import torchvision.transforms.functional  # noqa: F401
except (ImportError, RuntimeError):
    # the wheel for CUDA does not load beside torch's for CPUs; two names of it are asked for
    for name in ("", ".datasets", ".transforms", ".transforms.functional"):
        module = types.ModuleType(f"torchvision{name}")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
    sys.modules["torchvision.datasets"].VisionDataset = object  # type: ignore[attr-defined]
    sys.modules["torchvision.transforms.functional"].to_tensor = None  # type: ignore[attr-defined]

from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.storage.download import DOWNLOADER_MAPPINGS, CloudDownloader
from streaming.base.util import clean_stale_shared_memory

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs

NAME = "MosaicML Streaming, MDS zstd"
SETTINGS = (
    "ndarray:uint16 columns, shards of 64 MB, zstd; "
    "shuffle=True (py1e), StreamingDataLoader; it has no plain HTTP of its own: a downloader of "
    "six lines is registered; numpy below 2.2, as it asks for"
)
READS_HTTP = True
RESUME = "StreamingDataLoader.state_dict / load_state_dict"

_COLUMNS = {"id": "int", "src": "ndarray:uint16", "tgt": "ndarray:uint16"}


class HttpDownloader(CloudDownloader):
    """A whole file by urllib."""

    @staticmethod
    def _client_identifier() -> str:
        return "http"

    def clean_up(self) -> None:
        """Nothing is kept."""

    def _download_file_impl(self, remote: str, local: str, timeout: float) -> None:
        del timeout
        urllib.request.urlretrieve(remote, f"{local}.tmp")
        Path(f"{local}.tmp").rename(local)


DOWNLOADER_MAPPINGS["http"] = HttpDownloader


def write(corpus: Corpus, folder: Path) -> None:
    with MDSWriter(
        out=str(folder), columns=_COLUMNS, compression="zstd", size_limit=1 << 26
    ) as out:
        for pair_id, src, tgt in corpus.rows:
            out.write({"id": pair_id, "src": src, "tgt": tgt})


def _collate(rows: list[dict[str, Any]]) -> PaddedBatch:
    return collate_pairs(
        [np.asarray(row["src"]) for row in rows],
        [np.asarray(row["tgt"]) for row in rows],
        [int(row["id"]) for row in rows],
    )


def _loader(access: Access) -> StreamingDataLoader:
    clean_stale_shared_memory()
    dataset = StreamingDataset(
        remote=access.root,
        local=str(access.cache / "mds"),
        shuffle=True,
        batch_size=BATCH_SIZE,
        shuffle_seed=1,
    )
    return StreamingDataLoader(
        dataset, batch_size=BATCH_SIZE, num_workers=access.num_workers, collate_fn=_collate
    )


def loader(access: Access) -> Iterable[PaddedBatch]:
    found: StreamingDataLoader = _loader(access)
    if access.state:
        found.load_state_dict(access.state)
    return found  # type: ignore[no-any-return]


def snapshot(access: Access, num_batches: int) -> Any:
    loader = _loader(access)
    for number, _ in enumerate(loader, start=1):
        if number == num_batches:
            break
    return loader.state_dict()
