"""A sample that is lost, comes twice or is another one is found when its window or epoch ends."""

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from shards.dataset import Dataset
from shards.sample import combine_digests, ids_digest
from trainer.stream.batching import Batch, PairIds
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.mix import advance, read_mixture
from trainer.stream.order import BatchBudget, Cursor
from trainer.stream.proof import LostSamplesError, Progress, Tally, difference

CONFIG = StreamConfig(budget=BatchBudget(sequences=48), seed=5, window_samples=300, epochs=2)
STRANGER = np.uint64(7)


@pytest.fixture
def stream(pairs: Dataset) -> BatchStream:
    return BatchStream(pairs, CONFIG)


def changed(batch: Batch, change: Callable[[PairIds], Iterable[int]]) -> Batch:
    ids = np.array(list(change(batch.global_pair_ids)), np.uint64)
    return batch._replace(global_pair_ids=ids)


def train_on(
    stream: BatchStream, batches: Iterable[Batch], progress: Progress | None = None
) -> Progress:
    progress = progress or Progress()
    for batch in batches:
        progress = advance(progress, batch, stream)
    return progress


def batches_of(stream: BatchStream, window: int) -> list[Batch]:
    """The batches of a window of the first epoch."""
    part = stream.at(Cursor(0, window, 0))
    return list(itertools.islice(part, len(next(part.planned_windows()).plan)))


FAULTS: dict[str, tuple[Callable[[PairIds], Iterable[int]], int, str]] = {
    "lost": (lambda ids: ids[1:], -1, "pair {first} is missing;"),
    "repeated": (lambda ids: [*ids, ids[0]], 1, "pair {first} came twice;"),
    "swapped": (lambda ids: [STRANGER, *ids[1:]], 0, "as many as expected, but others"),
    "loss that cancels a repeat": (
        lambda ids: [*ids[1:], ids[1]],
        0,
        "as many as expected, but others",
    ),
    "several lost": (lambda ids: ids[3:], -3, "3 are missing;"),
    "several repeated": (lambda ids: [*ids, *ids[:3]], 3, "3 came more than once;"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("place", [0, 2, -1])
def test_a_fault_anywhere_in_a_window_is_told_at_its_end(
    stream: BatchStream, fault: str, window: int, place: int
) -> None:
    change, count, told = FAULTS[fault]
    batches = batches_of(stream, window)
    first = f"{batches[place].global_pair_ids[0]:016x}"
    batches[place] = changed(batches[place], change)
    progress = train_on(stream, batches[:-1], Progress(Cursor(0, window, 0)))
    whole = stream.promise(0, window).tally.samples
    expected = (
        rf"^window {window} \(shards .*\) of epoch 0 of .*: {whole + count} samples were trained "
        rf"on, the data set holds {whole}; {told.format(first=first)}"
    )
    with pytest.raises(LostSamplesError, match=expected) as error:
        advance(progress, batches[-1], stream)
    assert "nothing after the last checkpoint is kept" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_whole_window_that_is_passed_over_is_told_at_the_end_of_the_epoch(
    stream: BatchStream,
) -> None:
    first, lost, last = (batches_of(stream, window) for window in range(3))
    first[-1] = first[-1]._replace(cursor=Cursor(0, 2, 0))
    count = sum(len(batch.global_pair_ids) for batch in lost)
    with pytest.raises(LostSamplesError, match=rf"^epoch 0 of .*; {count} are missing;"):
        train_on(stream, [*first, *last])


def test_a_sample_that_moved_to_another_window_is_told(stream: BatchStream) -> None:
    batches = [batch for batch in stream if batch.cursor <= Cursor(1, 0, 0)]
    moved = batches[0].global_pair_ids[0]
    batches[0] = changed(batches[0], lambda ids: ids[1:])
    batches[-1] = changed(batches[-1], lambda ids: [moved, *ids])
    with pytest.raises(LostSamplesError, match=rf"^window 0 .*pair {moved:016x} is missing"):
        train_on(stream, batches)


@pytest.mark.parametrize("stops", [(1,), (3, 4), (6, 11, 19), (20,), tuple(range(1, 40))], ids=str)
def test_an_epoch_is_proven_across_any_number_of_resumes(
    stream: BatchStream, stops: tuple[int, ...]
) -> None:
    told = json.dumps(Progress().dump())
    for start, end in itertools.pairwise([0, *stops, None]):
        progress = Progress.load(json.loads(told))
        part = stream.at(progress.cursor)
        count = None if end is None else end - (start or 0)
        progress = train_on(part, itertools.islice(part, count), progress)
        told = json.dumps(progress.dump())
    assert progress.cursor == Cursor(2, 0, 0)
    assert progress.drawn == 2 * stream.promise(0).tally.samples
    assert (progress.window, progress.epoch) == (Tally(), Tally())


def test_what_was_lost_before_a_checkpoint_is_told_after_the_resume(stream: BatchStream) -> None:
    batches = list(itertools.islice(stream, 3))
    lost = batches[1].global_pair_ids[0]
    batches[1] = changed(batches[1], lambda ids: ids[1:])
    told = json.dumps(train_on(stream, batches).dump())
    progress = Progress.load(json.loads(told))
    part = stream.at(progress.cursor)
    with pytest.raises(LostSamplesError, match=rf"^window 0 .*pair {lost:016x} is missing"):
        train_on(part, part, progress)


def test_an_epoch_whose_count_is_not_that_of_its_windows_is_told(stream: BatchStream) -> None:
    progress = Progress(epoch=Tally(1, ids_digest(np.array([STRANGER]))))
    with pytest.raises(LostSamplesError, match=rf"^epoch 0 of .*pair {STRANGER:016x} came twice"):
        train_on(stream, stream, progress)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_rank_proves_the_epoch_and_together_they_hold_it(
    pairs: Dataset, world_size: int
) -> None:
    digests, samples = [], 0
    for rank in range(world_size):
        stream = BatchStream(pairs, replace(CONFIG, epochs=1, rank=rank, world_size=world_size))
        batches = list(stream)
        assert train_on(stream, batches).cursor == Cursor(1, 0, 0)
        digests += [ids_digest(batch.pair_ids) for batch in batches]
        samples += sum(len(batch.input_ids) for batch in batches)
        batches[-2] = changed(batches[-2], lambda ids: ids[1:])
        with pytest.raises(LostSamplesError):
            train_on(stream, batches)
    assert Tally(samples, combine_digests(digests)) == stream.promise(0).tally


def test_in_a_mixture_the_data_set_that_lost_a_sample_is_told(
    pairs: Dataset, authored: Dataset
) -> None:
    endless = replace(CONFIG, epochs=None)
    streams = [BatchStream(pairs, endless), BatchStream(authored, endless)]
    progress = [Progress(), Progress()]
    mixture = read_mixture(streams, [Fraction(1), Fraction(1)], progress)
    lost: list[int] = []
    with pytest.raises(LostSamplesError) as told:
        for number, batch in mixture:
            if number == 1 and not lost:
                lost = batch.global_pair_ids[:1].tolist()
                batch = changed(batch, lambda ids: ids[1:])
            progress[number] = advance(progress[number], batch, streams[number])
    assert f"of epoch 0 of {authored.ref.url}: " in str(told.value)
    assert f"pair {lost[0]:016x} is missing" in str(told.value)


def test_equal_sums_with_other_ids_are_no_single_pair() -> None:
    ids = np.array([1, 2, 3, 4], np.uint64)
    found = Tally(3, ids_digest(np.array([1, 2, 9], np.uint64)))
    assert difference(found, Tally(4, ids_digest(ids))) == "1 are missing"
