"""Stock webdataset over our shards' idea: blocks of 1,024 pairs, taken apart by ten lines."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs
from benchmarks.stream.systems.webdataset_pairs import _urls

NAME = "webdataset, blocks of 1,024"
SETTINGS = (
    "plain tar shards of 32 blocks of 1,024 pairs as .npy members, taken apart in a compose step; "
    "shardshuffle on, blocks shuffled in themselves, batches of 32; not what its users write today"
)
READS_HTTP = True
RESUME = "none of its own: the epoch is read again and batches are skipped"

_BLOCK, _BLOCKS_A_SHARD = 1024, 32


def write(corpus: Corpus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = corpus.rows
    with wds.ShardWriter(
        str(folder / "blocks-%05d.tar"), maxcount=_BLOCKS_A_SHARD, verbose=0, mtime=0
    ) as sink:
        for start in range(0, len(rows), _BLOCK):
            ids, src, tgt = zip(*rows[start : start + _BLOCK], strict=True)
            sink.write(
                {
                    "__key__": f"{start:012d}",
                    "src.npy": np.concatenate(src),
                    "tgt.npy": np.concatenate(tgt),
                    "src_len.npy": np.array(list(map(len, src)), np.uint16),
                    "tgt_len.npy": np.array(list(map(len, tgt)), np.uint16),
                    "id.npy": np.array(ids, np.uint64),
                }
            )
    names = sorted(path.name for path in folder.glob("*.tar"))
    (folder / "shards.json").write_text(json.dumps(names))


def _unbatch(blocks: Any) -> Iterator[PaddedBatch]:
    rng = np.random.default_rng(1)
    for block in blocks:
        inputs = np.split(block["src.npy"], np.cumsum(block["src_len.npy"], dtype=np.int64)[:-1])
        targets = np.split(block["tgt.npy"], np.cumsum(block["tgt_len.npy"], dtype=np.int64)[:-1])
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            yield collate_pairs(
                [inputs[row] for row in rows], [targets[row] for row in rows], block["id.npy"][rows]
            )


def loader(access: Access) -> Iterable[PaddedBatch]:
    dataset = wds.WebDataset(_urls(access), shardshuffle=100, seed=1).decode().compose(_unbatch)
    loader = wds.WebLoader(dataset, batch_size=None, num_workers=access.num_workers)
    return itertools.islice(loader, access.state, None) if access.state else loader


def snapshot(access: Access, num_batches: int) -> int:
    del access
    return num_batches
