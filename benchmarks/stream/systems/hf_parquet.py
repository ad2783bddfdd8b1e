"""Hugging Face datasets: Parquet files, streamed."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs

NAME = "HF datasets, Parquet"
SETTINGS = (
    "Parquet files of 50,000 pairs as `to_parquet` writes them, columns of uint16 lists; "
    "streaming=True, shuffle(seed, buffer_size=1000), with_format('arrow'), batch(32), padded "
    "from Arrow buffers"
)
READS_HTTP = True
RESUME = "IterableDataset.state_dict / load_state_dict"

_PAIRS_A_FILE = 50_000


def write(corpus: Corpus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = iter(corpus.rows)
    names = []
    for number in itertools.count():
        part = list(itertools.islice(rows, _PAIRS_A_FILE))
        if not part:
            break
        ids, src, tgt = zip(*part, strict=True)
        names.append(f"pairs-{number:05d}.parquet")
        table = Dataset.from_dict({"id": list(ids), "src": list(src), "tgt": list(tgt)})
        table.to_parquet(folder / names[-1])
    (folder / "files.json").write_text(json.dumps(names))


def _files(root: str) -> list[str]:
    if root.startswith("http"):
        import urllib.request

        with urllib.request.urlopen(f"{root}/files.json") as response:
            names = json.loads(response.read())
    else:
        names = json.loads((Path(root) / "files.json").read_text())
    return [f"{root}/{name}" for name in names]


def _dataset(access: Access) -> Any:
    files = _files(access.root)
    loaded = load_dataset(
        "parquet", data_files=files, split="train", streaming=True, cache_dir=str(access.cache)
    )
    return loaded.shuffle(seed=1, buffer_size=1000).with_format("arrow").batch(BATCH_SIZE)


def _column(table: Any, name: str) -> list[Any]:
    """The rows of a list column as views of one array."""
    values = table.column(name).combine_chunks()
    flat = values.flatten().flatten() if values.type.value_type.num_fields else values.flatten()
    lists = values.flatten() if values.type.value_type.num_fields else values
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return np.split(flat.to_numpy(), np.cumsum(lengths)[:-1])


def _collate(table: Any) -> PaddedBatch:
    ids = table.column("id").combine_chunks().flatten().to_numpy()
    return collate_pairs(_column(table, "src"), _column(table, "tgt"), ids)


def loader(access: Access) -> Iterable[PaddedBatch]:
    dataset = _dataset(access)
    if access.state:
        dataset.load_state_dict(access.state)
    return DataLoader(dataset, batch_size=None, collate_fn=_collate, num_workers=access.num_workers)


def snapshot(access: Access, num_batches: int) -> Any:
    dataset = _dataset(access)
    for _ in itertools.islice(dataset, num_batches):
        pass
    return dataset.state_dict()
