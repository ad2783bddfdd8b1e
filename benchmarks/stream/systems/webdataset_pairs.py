"""webdataset, one pair a sample, as its documentation writes data sets."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import webdataset as wds
from torch.utils.data import IterableDataset

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs

NAME = "webdataset, a pair a sample"
SETTINGS = (
    "plain tar shards of 10,000 pairs, two .npy members each, integer mtime; "
    "shardshuffle on, shuffle(1000), batched(32); HTTP by its own `pipe:curl`"
)
READS_HTTP = True
RESUME = "none of its own: the epoch is read again and batches are skipped"

_PAIRS_A_SHARD = 10_000


def write(corpus: Corpus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pattern = str(folder / "pairs-%05d.tar")
    with wds.ShardWriter(pattern, maxcount=_PAIRS_A_SHARD, verbose=0, mtime=0) as sink:
        for pair_id, src, tgt in corpus.rows:
            sink.write({"__key__": f"{pair_id:016x}", "src.npy": src, "tgt.npy": tgt})
    names = sorted(path.name for path in folder.glob("*.tar"))
    (folder / "shards.json").write_text(json.dumps(names))


def _urls(access: Access) -> list[str]:
    if access.root.startswith("http"):
        import urllib.request

        with urllib.request.urlopen(f"{access.root}/shards.json") as response:
            names = json.loads(response.read())
        return [f"pipe:curl -fsS {access.root}/{name}" for name in names]
    names = json.loads((Path(access.root) / "shards.json").read_text())
    return [f"{access.root}/{name}" for name in names]


def _pipeline(access: Access) -> IterableDataset[Any]:
    dataset = wds.WebDataset(_urls(access), shardshuffle=100, seed=1)
    return (  # type: ignore[no-any-return]
        dataset.shuffle(1000, seed=1)
        .decode()
        .to_tuple("src.npy", "tgt.npy", "__key__")
        .batched(BATCH_SIZE, collation_fn=_collate)
    )


def _collate(rows: list[tuple[Any, Any, str]]) -> PaddedBatch:
    inputs, targets, keys = zip(*rows, strict=True)
    return collate_pairs(inputs, targets, [int(key, 16) for key in keys])


def loader(access: Access) -> Iterable[PaddedBatch]:
    loader = wds.WebLoader(_pipeline(access), batch_size=None, num_workers=access.num_workers)
    return itertools.islice(loader, access.state, None) if access.state else loader


def snapshot(access: Access, num_batches: int) -> int:
    del access
    return num_batches
