"""litData: optimized chunks, zstd."""

import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming.downloader import Downloader, register_downloader
from litdata.streaming.resolver import Dir
from litdata.streaming.writer import BinaryWriter

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs

NAME = "litData, zstd"
SETTINGS = (
    "chunks of 64 MB, zstd, as `optimize` writes them; StreamingDataset(shuffle=True, "
    "drop_last=False) in a StreamingDataLoader; it has no plain HTTP of its own: a downloader of "
    "six lines is registered, as its documentation shows"
)
READS_HTTP = True
RESUME = "StreamingDataLoader.state_dict / load_state_dict"


class HttpDownloader(Downloader):
    """A whole file by urllib."""

    def download_file(self, remote_chunkpath: str, local_chunkpath: str) -> None:
        if not Path(local_chunkpath).exists():
            temporary = self._temp_download_path(local_chunkpath)
            urllib.request.urlretrieve(remote_chunkpath, temporary)
            self._atomic_replace(temporary, local_chunkpath)


register_downloader("http://", HttpDownloader, overwrite=True)


def write(corpus: Corpus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer = BinaryWriter(str(folder), chunk_bytes=64_000_000, compression="zstd")
    for number, (pair_id, src, tgt) in enumerate(corpus.rows):
        writer[number] = {"id": pair_id, "src": src, "tgt": tgt}
    writer.done()
    writer.merge()


def _collate(rows: list[dict[str, Any]]) -> PaddedBatch:
    return collate_pairs(
        [np.asarray(row["src"]) for row in rows],
        [np.asarray(row["tgt"]) for row in rows],
        [int(row["id"]) for row in rows],
    )


def _loader(access: Access) -> StreamingDataLoader:
    where = access.root
    if where.startswith("http"):
        where = Dir(path=str(access.cache), url=where)
    dataset = StreamingDataset(
        where, shuffle=True, drop_last=False, seed=1, cache_dir=str(access.cache)
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
