"""Every id of an epoch comes once, in one global order, for any ranks, workers and restarts."""

import itertools
import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from shards.dataset import Dataset
from shards.errors import CorruptBlobError
from shards.manifest import BlobInfo
from trainer.errors import TrainingError
from trainer.stream.batching import Batch, Direction
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.loader import read_batches
from trainer.stream.order import BatchBudget, Cursor

CONFIG = StreamConfig(budget=BatchBudget(sequences=48), seed=5, window_samples=500, epochs=1)


@pytest.fixture(scope="session")
def all_ids(pairs: Dataset) -> Counter[int]:
    shards = pairs.manifest.splits["train"].shards
    assert len(shards) == 4, "fewer shards than 5 workers, more than one window"
    return Counter(
        number
        for shard in shards
        for block in pairs.read_shard(shard)
        for number in block.id.tolist()
    )


def ids_of(batches: list[Batch]) -> list[list[int]]:
    return [batch.global_pair_ids.tolist() for batch in batches]


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        assert left.cursor == right.cursor
        assert np.array_equal(left.pair_ids, right.pair_ids)
        assert np.array_equal(left.input_ids, right.input_ids)
        assert np.array_equal(left.target_ids, right.target_ids)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_each_id_comes_once_an_epoch_over_all_ranks(
    pairs: Dataset, all_ids: Counter[int], world_size: int
) -> None:
    ranks = [
        list(BatchStream(pairs, replace(CONFIG, rank=rank, world_size=world_size)))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1, "all ranks make equally many steps"
    found = Counter(
        number for batches in ranks for batch in batches for number in batch.pair_ids.tolist()
    )
    assert found == all_ids
    for step in zip(*ranks, strict=True):
        assert len({batch.input_ids.shape[1] for batch in step}) == 1
        assert len({batch.global_target_tokens for batch in step}) == 1
        assert len({tuple(batch.global_pair_ids.tolist()) for batch in step}) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more than cores
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_loader_workers_give_the_same_batches_as_none(
    pairs: Dataset, all_ids: Counter[int], workers: int, world_size: int
) -> None:
    found: Counter[int] = Counter()
    for rank in range(world_size):
        stream = BatchStream(pairs, replace(CONFIG, rank=rank, world_size=world_size))
        batches = list(read_batches(stream, workers))
        assert_same(batches, list(stream))
        found.update(number for batch in batches for number in batch.pair_ids.tolist())
    assert found == all_ids


def test_the_second_epoch_holds_the_same_ids_in_another_order(
    pairs: Dataset, all_ids: Counter[int]
) -> None:
    batches = list(BatchStream(pairs, replace(CONFIG, epochs=2)))
    first = [batch for batch in batches if batch.cursor <= Cursor(1, 0, 0)]
    second = batches[len(first) :]
    for epoch in (first, second):
        assert Counter(number for batch in ids_of(epoch) for number in batch) == all_ids
    assert ids_of(first) != ids_of(second)


@pytest.mark.parametrize("direction", ["src-tgt", "both"])
@pytest.mark.parametrize("budget", [BatchBudget(sequences=48), BatchBudget(tokens=1500)], ids=str)
def test_restoring_any_cursor_gives_the_same_tail(
    pairs: Dataset, budget: BatchBudget, direction: Direction
) -> None:
    config = replace(CONFIG, budget=budget, direction=direction, epochs=2)
    batches = list(BatchStream(pairs, config))
    cursors = [Cursor(), *(batch.cursor for batch in batches)]
    for number in {0, 1, 2, len(batches) // 2, *range(len(batches) // 2 - 3, len(batches))}:
        assert_same(list(BatchStream(pairs, config, cursor=cursors[number])), batches[number:])


def test_a_restored_stream_can_be_restored_again(pairs: Dataset) -> None:
    batches = list(BatchStream(pairs, CONFIG))
    cursor, seen = Cursor(), []
    for _ in range(4):
        part = list(itertools.islice(BatchStream(pairs, CONFIG, cursor=cursor), 3))
        seen += part
        cursor = part[-1].cursor
    assert_same(seen, batches[:12])


def test_ranks_and_accumulation_see_the_same_global_batches(pairs: Dataset) -> None:
    alone = ids_of(list(BatchStream(pairs, CONFIG)))
    assert ids_of(list(BatchStream(pairs, replace(CONFIG, rank=2, world_size=3)))) == alone


def test_a_stream_without_end_goes_on_into_the_next_epoch(pairs: Dataset) -> None:
    length = len(list(BatchStream(pairs, CONFIG)))
    stream = BatchStream(pairs, replace(CONFIG, epochs=None))
    last = list(itertools.islice(stream, length + 1))[-1]
    assert last.cursor == Cursor(1, 0, 1)


def direction_case(direction: str, epoch_parity: bool) -> Callable[[np.ndarray], np.ndarray]:
    return {
        "src-tgt": lambda ids: np.zeros(len(ids), bool),
        "tgt-src": lambda ids: np.ones(len(ids), bool),
        "both": lambda ids: (ids % 2).astype(bool) ^ epoch_parity,
    }[direction]


@pytest.mark.parametrize("direction", ["src-tgt", "tgt-src", "both"])
def test_batches_frame_tags_and_texts_for_each_direction(
    pairs: Dataset, direction: Direction
) -> None:
    samples = {
        sample.pair_id: sample
        for shard in pairs.manifest.splits["train"].shards
        for block in pairs.read_shard(shard)
        for sample in block.samples()
    }
    targets = pairs.manifest.tokenizer.target_ids
    for batch in BatchStream(pairs, replace(CONFIG, direction=direction, epochs=2)):
        # the epoch of a batch: its cursor is already behind it
        epoch = batch.cursor.epoch - (batch.cursor.window == batch.cursor.batch == 0)
        reverse = direction_case(direction, bool(epoch % 2))(batch.pair_ids)
        for row, number in enumerate(batch.pair_ids.tolist()):
            src, tgt = samples[number].src.tolist(), samples[number].tgt.tolist()
            if reverse[row]:
                input_ids, target_ids = [targets["ru"], *src[:3], *tgt, 3], [2, *src[3:], 3]
            else:
                input_ids, target_ids = [targets["en"], *src, 3], [2, *tgt, 3]
            for found, expected in (
                (batch.input_ids[row], input_ids),
                (batch.target_ids[row], target_ids),
            ):
                assert found[: len(expected)].tolist() == expected
                assert not found[len(expected) :].any(), "the rest is padding"


def test_target_tokens_are_counted_as_the_loss_counts_them(pairs: Dataset) -> None:
    for batch in BatchStream(pairs, CONFIG):
        assert batch.global_target_tokens == (batch.target_ids[:, 1:] != 0).sum()


@pytest.mark.parametrize("cursor", [Cursor(0, 99, 0), Cursor(0, 0, 10_000)])
def test_a_cursor_of_other_data_is_refused(pairs: Dataset, cursor: Cursor) -> None:
    with pytest.raises(TrainingError, match="belongs to other data"):
        list(BatchStream(pairs, CONFIG, cursor=cursor))


class _Damaging:
    """A store that damages one blob."""

    root = "damaged"

    def __init__(self, dataset: Dataset, damaged: str) -> None:
        self._store = dataset.store
        self._damaged = damaged

    def read(self, path: str) -> bytes:
        return self._store.read(path)

    def read_blob(self, info: BlobInfo) -> bytes:
        data = self._store.read_blob(info)
        return data[:-1] + bytes([data[-1] ^ 1]) if info.path == self._damaged else data


def test_an_error_in_the_background_is_raised_where_a_batch_is_asked_for(pairs: Dataset) -> None:
    shard = pairs.manifest.splits["train"].shards[0]
    damaged = replace(pairs, store=_Damaging(pairs, shard.path))
    with pytest.raises(CorruptBlobError, match=shard.sha256[:12]):
        list(BatchStream(damaged, CONFIG))


@pytest.mark.slow
def test_an_error_in_a_worker_process_is_one_line_too(pairs: Dataset) -> None:
    shard = pairs.manifest.splits["train"].shards[0]
    stream = BatchStream(replace(pairs, store=_Damaging(pairs, shard.path)), CONFIG)
    with pytest.raises(CorruptBlobError, match=shard.sha256[:12]) as told:
        list(read_batches(stream, 2))
    assert len(str(told.value).splitlines()) == 1


def test_an_empty_split_is_refused(pairs: Dataset) -> None:
    empty = pairs.manifest.splits["val"].model_copy(update={"samples": 0, "shards": ()})
    manifest = pairs.manifest.model_copy(update={"splits": {**pairs.manifest.splits, "val": empty}})
    with pytest.raises(TrainingError, match="no samples in split 'val'"):
        BatchStream(replace(pairs, manifest=manifest), replace(CONFIG, split="val"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "end"])
def test_ctrl_c_waits_until_workers_are_there_or_gone_as_a_whole(
    pairs: Dataset, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = multiprocessing.active_children()
    done: list[str] = []
    ours: list[object] = []  # iterators of earlier tests may end in this one

    def interrupted(name: str, work: Callable[..., None]) -> Callable[..., None]:
        def run(iterator: object, *arguments: object) -> None:
            if name == "start":
                ours.append(iterator)
            if iterator not in ours:
                work(iterator, *arguments)
                return
            if name == moment and name not in done:
                signal.raise_signal(signal.SIGINT)
            work(iterator, *arguments)
            done.append(name)

        return run

    for name, method in (("start", "__init__"), ("end", "_shutdown_workers")):
        work = getattr(_MultiProcessingDataLoaderIter, method)
        monkeypatch.setattr(_MultiProcessingDataLoaderIter, method, interrupted(name, work))
    batches = read_batches(BatchStream(pairs, CONFIG), 1)
    assert isinstance(batches, Generator)
    with pytest.raises(KeyboardInterrupt):
        next(batches)
        batches.close()
    assert done[:2] == ["start", "end"]
    assert not set(multiprocessing.active_children()) - set(before)


LEFT_OPEN = """
import sys
from shards.dataset import open_dataset
from tests.trainer.stream.test_dataset import CONFIG
from trainer.stream.dataset import BatchStream
from trainer.stream.loader import read_batches

batches = read_batches(BatchStream(open_dataset(sys.argv[1]), CONFIG), 1)
print(len(next(batches).pair_ids))
"""


@pytest.mark.slow
def test_a_program_that_ends_with_its_batches_open_says_nothing(pairs_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", LEFT_OPEN, pairs_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
