"""Megatron-Energon: a crude WebDataset, one pair a sample, prepared and indexed by its own tool."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import webdataset as wds
from megatron.energon import (
    Cooker,
    CrudeSample,
    DefaultTaskEncoder,
    Sample,
    SavableDataLoader,
    WorkerConfig,
    basic_sample_keys,
    get_savable_loader,
    get_train_dataset,
    stateless,
)
from megatron.energon.edataclass import edataclass
from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

from benchmarks.stream.corpus import Corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, collate_pairs

NAME = "Megatron-Energon, a pair a sample"
SETTINGS = (
    "plain tar shards of 10,000 pairs, two .npy members each, prepared and indexed by its own "
    "preparator; CrudeWebdataset with a cooker, shuffle_buffer_size=1000, one epoch "
    "(repeat=False), SavableDataLoader; it reads no plain HTTP"
)
READS_HTTP = False
RESUME = "SavableDataLoader.save_state_rank / restore_state_rank"

_PAIRS_A_SHARD = 10_000
_DATASET = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def write(corpus: Corpus, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pattern = str(folder / "pairs-%05d.tar")
    with wds.ShardWriter(pattern, maxcount=_PAIRS_A_SHARD, verbose=0, mtime=0) as sink:
        for pair_id, src, tgt in corpus.rows:
            sink.write({"__key__": f"{pair_id:016x}", "src.npy": src, "tgt.npy": tgt})
    names = sorted(path.name for path in folder.glob("*.tar"))
    WebdatasetPreparator.prepare_dataset(
        folder, names, split_parts_ratio=[("train", 1.0)], shuffle_seed=None, workers=1
    )
    (folder / ".nv-meta" / "dataset.yaml").write_text(_DATASET)


@edataclass
class _Pair(Sample):
    """What a cooker makes of a crude sample."""

    src: Any
    tgt: Any


@stateless
def _cook(sample: CrudeSample) -> _Pair:
    return _Pair(**basic_sample_keys(sample), src=sample["src.npy"], tgt=sample["tgt.npy"])


class _TaskEncoder(DefaultTaskEncoder):
    cookers = (Cooker(_cook),)

    def batch(self, samples: list[_Pair]) -> PaddedBatch:
        return collate_pairs(
            [sample.src for sample in samples],
            [sample.tgt for sample in samples],
            [int(sample.__key__.rpartition("/")[2], 16) for sample in samples],
        )


def _loader(access: Access) -> SavableDataLoader:
    workers = WorkerConfig(rank=0, world_size=1, num_workers=access.num_workers)
    dataset = get_train_dataset(
        access.root,
        worker_config=workers,
        batch_size=BATCH_SIZE,
        shuffle_buffer_size=1000,
        max_samples_per_sequence=None,
        task_encoder=_TaskEncoder(),
        repeat=False,
    )
    loader = get_savable_loader(dataset)
    if access.state:
        loader.restore_state_rank(access.state)
    return loader


def loader(access: Access) -> Iterable[PaddedBatch]:
    found: Iterable[PaddedBatch] = _loader(access)
    return found


def snapshot(access: Access, num_batches: int) -> Any:
    loader = _loader(access)
    for number, _ in enumerate(loader, start=1):
        if number == num_batches:
            break
    return loader.save_state_rank()
