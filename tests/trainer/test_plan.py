"""What is planned before the first step is exactly what reading the stream then gives."""

import itertools
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset, open_dataset
from shards.errors import CorruptBlobError
from shards.manifest import LENGTHS_SUFFIX, BlobInfo, Split
from tests.corpus import build_pairs
from trainer.errors import TrainingError
from trainer.plan import plan_epochs, plan_run, plan_source, read_planned_shards
from trainer.stream.batching import Batch, Direction
from trainer.stream.cache import BlobCache
from trainer.stream.dataset import StreamConfig
from trainer.stream.order import BatchBudget
from trainer.stream.selection import PairFilter, resolve
from trainer.training.data import Source

EPOCHS = 2
BUDGETS = [
    BatchBudget(sequences=32),
    BatchBudget(sequences=5000),  # more than a window holds
    BatchBudget(tokens=60),  # less than some pairs have
    BatchBudget(tokens=1500),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set of more shards, so that there are windows of several sizes."""
    folder: Path = tmp_path_factory.mktemp("many")
    build_pairs(folder, 1800)
    dataset = open_dataset(str(folder / "datasets" / "pairs"))
    assert len(dataset.manifest.splits["train"].shards) > 5
    return dataset


def source_of(dataset: Dataset, wanted: PairFilter | None = None, split: Split = "train") -> Source:
    selections = {}
    if wanted:
        selections[split] = resolve(wanted, dataset.manifest, split, dataset.read_shard)
    return Source(dataset.ref.url, Fraction(1), dataset, None, selections)


def epochs_of(source: Source, config: StreamConfig) -> Iterator[list[Batch]]:
    """The batches of each epoch, as they are read."""
    batch_of_epoch = itertools.groupby(
        source.stream(replace(config, epochs=EPOCHS)),
        # the cursor is already behind the batch
        lambda batch: batch.cursor.epoch - (batch.cursor[1:] == (0, 0)),
    )
    for _, batches in batch_of_epoch:
        yield list(batches)


def count(batches: list[Batch]) -> dict[str, int]:
    """What a plan tells, from the batches themselves; <pad> is 0 and no other id."""
    inputs = sum(int(np.count_nonzero(batch.input_ids)) for batch in batches)
    targets = sum(int(np.count_nonzero(batch.target_ids)) for batch in batches)
    cells = [batch.input_ids.size + batch.target_ids.size for batch in batches]
    return {
        "steps": len(batches),
        "samples": sum(len(batch.pair_ids) for batch in batches),
        "input_tokens": inputs,
        "target_tokens": sum(batch.global_target_tokens for batch in batches),
        "cells": sum(cells),
        "padding": sum(cells) - inputs - targets,
        "largest_batch": max(cells),
        # the last batch of each leads to the first one of the next
        "windows": sum(batch.cursor.batch == 0 for batch in batches),
    }


def assert_exact(source: Source, config: StreamConfig) -> None:
    plans = plan_source(source, config, EPOCHS)
    read = [count(batches) for batches in epochs_of(source, config)]
    assert len(read) == EPOCHS
    assert [{name: getattr(plan, name) for name in read[0]} for plan in plans] == read


@pytest.mark.parametrize("direction", ["src-tgt", "tgt-src", "both"])
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("window_samples", [1, 500, 10_000])
def test_the_plan_is_what_reading_gives(
    many: Dataset, budget: BatchBudget, direction: Direction, window_samples: int
) -> None:
    config = StreamConfig(
        budget=budget, direction=direction, window_samples=window_samples, seed=window_samples
    )
    assert_exact(source_of(many), config)


@pytest.mark.parametrize(
    "wanted",
    [
        PairFilter(min_tokens=12),
        PairFilter(max_tokens=40, skip_ids=tuple(range(100))),
        PairFilter(min_tokens=20, max_tokens=24),
    ],
    ids=str,
)
def test_the_plan_of_a_filtered_data_set_is_what_reading_gives(
    many: Dataset, wanted: PairFilter
) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=32), direction="both", window_samples=300)
    source = source_of(many, wanted)
    assert 0 < source.samples("train") < many.manifest.splits["train"].samples
    assert_exact(source, config)


def test_the_plan_of_another_split_is_what_reading_gives(many: Dataset) -> None:
    assert_exact(source_of(many), StreamConfig(budget=BatchBudget(sequences=10), split="val"))


def test_every_rank_plans_the_same(many: Dataset) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=30))
    alone = plan_source(source_of(many), config)
    assert plan_source(source_of(many), replace(config, rank=2, world_size=3)) == alone


class _OnlyLengths:
    """A store that holds no shard."""

    def __init__(self, dataset: Dataset, damaged: bool = False) -> None:
        self.root = dataset.store.root
        self.store = dataset.store
        self.damaged = damaged

    def read(self, path: str) -> bytes:
        raise AssertionError(path)

    def read_blob(self, info: BlobInfo) -> bytes:
        assert info.suffix == LENGTHS_SUFFIX, "a plan fetches nothing else"
        if self.damaged:
            raise CorruptBlobError(f"blob {info.path} is damaged")
        return self.store.read_blob(info)


def test_no_shard_is_fetched_for_a_plan(many: Dataset) -> None:
    dataset = replace(many, store=_OnlyLengths(many))
    (plan,) = plan_source(source_of(dataset), StreamConfig(budget=BatchBudget(sequences=64)))
    shards = many.manifest.splits["train"].shards
    assert plan.fetch_bytes == sum(shard.bytes for shard in shards)


def test_a_damaged_table_is_named(many: Dataset) -> None:
    dataset = replace(many, store=_OnlyLengths(many, damaged=True))
    path = many.manifest.splits["train"].lengths.path
    with pytest.raises(CorruptBlobError, match=path):
        plan_source(source_of(dataset), StreamConfig(budget=BatchBudget(sequences=64)))


def test_a_split_without_samples_is_refused(many: Dataset) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=64))
    with pytest.raises(TrainingError, match="no samples left"):
        plan_source(source_of(many, PairFilter(min_tokens=60_000)), config)


@pytest.mark.parametrize(("spare", "later"), [(0, True), (-1, False)])
def test_what_fits_into_the_cache_is_fetched_once(
    many: Dataset, tmp_path: Path, spare: int, later: bool
) -> None:
    total = sum(shard.bytes for shard in many.manifest.splits["train"].shards)
    cache = BlobCache(tmp_path, total + spare, many.read_blob)
    source = replace(source_of(many), cache=cache)
    plans = plan_source(source, StreamConfig(budget=BatchBudget(sequences=64)), 3)
    assert [plan.fetch_bytes for plan in plans] == [total] + 2 * [0 if later else total]


def test_the_steps_of_a_mixture_are_shared_by_weight(many: Dataset) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=50))
    source = source_of(many)
    alone, *_ = plan_run([source], config, 90)
    assert alone.run_epochs == 90 / alone.epochs[0].steps
    two = plan_run([replace(source, weight=Fraction(2)), source], config, 90)
    assert [plan.run_epochs for plan in two] == pytest.approx(
        [60 / alone.epochs[0].steps, 30 / alone.epochs[0].steps]
    )


@pytest.mark.parametrize("window_samples", [1, 600, 10_000])
def test_the_estimate_of_memory_is_near_what_reading_takes(
    many: Dataset, window_samples: int
) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=32), window_samples=window_samples, epochs=1)
    source = source_of(many)
    shards = read_planned_shards(source, config)
    (plan,) = plan_epochs(shards, many.manifest, config)
    stream = source.stream(config)
    tracemalloc.start()
    try:
        for _ in stream.planned_windows():
            pass  # one is held here while the next is made
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert plan.memory_bytes == pytest.approx(peak, rel=0.2)
