"""A snapshot of any step, restored anywhere, gives the rest of the stream; and the check can fail.

Whole streams are restored here in this process, and, marked slow, in new ones.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset
from tests.trainer.test_exact_resume import wait_until_gone
from trainer.errors import TrainingError
from trainer.stream.batching import Batch
from trainer.stream.check import (
    InexactStreamError,
    Layout,
    Reading,
    check_stream,
    choose_snapshots,
    join_ranks,
    read_steps,
    restore,
    write_steps,
)
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget, Cursor
from trainer.stream.processes import in_new_processes
from trainer.stream.proof import LostSamplesError, Progress
from trainer.stream.selection import PairFilter, resolve

CONFIG = StreamConfig(budget=BatchBudget(sequences=48), seed=5, window_samples=500, epochs=2)
WHOLE = 10**6
KINDS = ("sequences", "tokens", "both", "filtered", "mixed", "mixed and filtered", "few rows")
more_workers_than_cores = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create:UserWarning"
)


def filtered(dataset: Dataset, config: StreamConfig, **wanted: object) -> BatchStream:
    pair_filter = PairFilter(**wanted)  # type: ignore[arg-type]  # what a test asks for
    selection = resolve(pair_filter, dataset.manifest, "train", dataset.read_shard)
    assert selection.dropped
    return BatchStream(dataset, config, selection=selection)


@pytest.fixture
def make_reading(pairs: Dataset, authored: Dataset) -> Callable[[str], Reading]:
    def make(kind: str) -> Reading:
        endless = replace(CONFIG, epochs=None)
        weights = (Fraction(2), Fraction(1))
        skip = tuple(pairs.read_shard(pairs.manifest.splits["train"].shards[0])[0].id[:9].tolist())
        streams = {
            "sequences": lambda: [BatchStream(pairs, CONFIG)],
            "tokens": lambda: [
                BatchStream(pairs, replace(CONFIG, budget=BatchBudget(tokens=1500)))
            ],
            "both": lambda: [BatchStream(pairs, replace(CONFIG, direction="both"))],
            "filtered": lambda: [filtered(pairs, CONFIG, min_tokens=20, skip_ids=skip)],
            "mixed": lambda: [BatchStream(pairs, CONFIG), BatchStream(authored, endless)],
            "mixed and filtered": lambda: [
                filtered(pairs, CONFIG, max_tokens=40),
                filtered(authored, endless, authors=("Anna",), exclude_sources=("talk",)),
            ],
            # fewer in each than ranks are
            "few rows": lambda: [
                filtered(pairs, replace(CONFIG, budget=BatchBudget(sequences=1)), min_tokens=40)
            ],
        }[kind]()
        return Reading(tuple(streams), weights[: len(streams)])

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_every_snapshot_gives_the_same_tail(
    make_reading: Callable[[str], Reading], tmp_path: Path, kind: str
) -> None:
    reading = make_reading(kind)
    steps, ends = write_steps(reading, tmp_path / "steps", steps=WHOLE)
    assert ends[0] < steps - 1, "it goes on after the end of an epoch"
    tail = 12
    for snapshot in range(steps):
        compared = restore(reading, tmp_path / "steps", snapshot, tail, Layout())
        assert compared == min(tail, steps - snapshot)
    whole = restore(reading, tmp_path / "steps", 0, None, Layout())
    assert whole == steps


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), [(3, (2, 4, 8)), (1, (8,)), (8, (1, 3))], ids=str)
def test_a_snapshot_of_some_ranks_is_restored_by_any_other_number(
    make_reading: Callable[[str], Reading],
    tmp_path: Path,
    kind: str,
    before: int,
    after: Sequence[int],
) -> None:
    reading = make_reading(kind)
    steps, ends = write_steps(reading, tmp_path / "steps", Layout(before), steps=WHOLE)
    for ranks in after:
        for snapshot in choose_snapshots(steps, ends, 5):
            assert restore(reading, tmp_path / "steps", snapshot, 15, Layout(ranks))


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_a_rank_without_rows_has_empty_arrays_as_wide_as_the_others(
    make_reading: Callable[[str], Reading], ranks: int
) -> None:
    (stream,) = make_reading("few rows").streams
    parts = [list(stream.at(Cursor(), rank=rank, world_size=ranks)) for rank in range(ranks)]
    assert len({len(batches) for batches in parts}) == 1, "no rank runs dry before another"
    assert any(len(batch.pair_ids) == 0 for batch in parts[-1])
    for step in zip(*parts, strict=True):
        assert len({batch.input_ids.shape[1] for batch in step}) == 1
        assert len({batch.target_ids.shape[1] for batch in step}) == 1
        counts = [len(batch.input_ids) for batch in step]
        assert sum(counts) == len(step[0].global_pair_ids)
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("accumulated", [(1, 4), (2, 2), (4, 1)], ids=str)
def test_accumulation_is_traded_for_ranks_row_by_row(
    pairs: Dataset, accumulated: tuple[int, int]
) -> None:
    ranks, micro_steps = accumulated
    stream = BatchStream(pairs, CONFIG)
    parts = [stream.at(Cursor(), rank=rank, world_size=ranks) for rank in range(ranks)]
    for whole, *shares in zip(stream, *parts, strict=True):
        found = {
            tuple(share.pair_ids[micro::micro_steps].tolist())
            for share in shares
            for micro in range(micro_steps)
        }
        assert found == {tuple(whole.pair_ids[number::4].tolist()) for number in range(4)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_snapshot_is_restored_in_a_new_process_of_its_own(
    make_reading: Callable[[str], Reading], kind: str
) -> None:
    layouts = [Layout(), Layout(3)]
    checked = check_stream(
        make_reading(kind),
        steps=WHOLE if kind != "few rows" else 60,
        snapshots=None,
        tail=20,
        restored=layouts,
    )
    assert checked.snapshots == list(range(checked.steps))
    assert checked.restores == checked.steps * len(layouts)
    assert checked.compared_steps > 10 * checked.restores


@pytest.mark.slow
@more_workers_than_cores
@pytest.mark.parametrize(
    ("kind", "written", "restored"),
    [
        ("sequences", Layout(1, 0), Layout(1, 5)),  # 5 workers for 4 shards
        ("tokens", Layout(1, 2), Layout(1, 1)),
        ("both", Layout(2, 2), Layout(1, 0)),
        ("filtered", Layout(1, 1), Layout(2, 2)),
        ("mixed", Layout(1, 5), Layout(1, 2)),
    ],
    ids=str,
)
def test_the_number_of_loader_workers_may_change(
    make_reading: Callable[[str], Reading], kind: str, written: Layout, restored: Layout
) -> None:
    checked = check_stream(
        make_reading(kind), steps=WHOLE, snapshots=2, written=written, restored=[restored]
    )
    end = checked.epoch_ends[0]
    assert checked.snapshots == [end - 1, end]


def part_of(reading: Reading, told: list[dict[str, object]], steps: int) -> list[dict[str, object]]:
    """The snapshot after some more steps."""
    progress = [Progress.load(part) for part in told]
    found = itertools.islice(read_steps(reading, progress), steps)
    return list(found)[-1].progress


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sequences", "mixed and filtered"])
def test_a_restored_stream_is_restored_again_and_again_each_time_in_a_new_process(
    make_reading: Callable[[str], Reading], kind: str
) -> None:
    reading = make_reading(kind)
    expected = [step.progress for step in read_steps(reading, reading.start())]
    told = [part.dump() for part in reading.start()]
    for behind in range(5, len(expected), 5):
        (told,) = in_new_processes(part_of, [(reading, told, 5)], 1)
        assert told == expected[behind - 1]


class OffByOne(BatchStream):
    """Goes on one batch too late when it is restored."""

    def at(self, cursor: Cursor, *, rank: int = 0, world_size: int = 1) -> BatchStream:
        if cursor.batch:
            cursor = cursor._replace(batch=cursor.batch + 1)
        return super().at(cursor, rank=rank, world_size=world_size)


def kept(batch: Batch, rows: list[int]) -> Batch:
    """A batch with some of its rows."""
    return batch._replace(
        input_ids=batch.input_ids[rows],
        target_ids=batch.target_ids[rows],
        pair_ids=batch.pair_ids[rows],
        global_pair_ids=batch.global_pair_ids[rows],
    )


class OnceRestored(BatchStream):
    """Does something wrong to the second batch after it was restored, and only then."""

    def wrong(self, batch: Batch) -> Batch:
        return batch

    def __iter__(self) -> Iterator[Batch]:
        for number, batch in enumerate(super().__iter__()):
            restored = self.cursor != Cursor()
            yield self.wrong(batch) if restored and number == 1 else batch


class Dropping(OnceRestored):
    def wrong(self, batch: Batch) -> Batch:
        return kept(batch, list(range(1, len(batch.pair_ids))))


class Repeating(OnceRestored):
    def wrong(self, batch: Batch) -> Batch:
        return kept(batch, [0, *range(len(batch.pair_ids))])


class Swapping(OnceRestored):
    def wrong(self, batch: Batch) -> Batch:
        return kept(batch, [1, 0, *range(2, len(batch.pair_ids))])


class Rewriting(OnceRestored):
    def wrong(self, batch: Batch) -> Batch:
        target_ids = batch.target_ids.copy()
        target_ids[0, 1] += 1
        return batch._replace(target_ids=target_ids)


class Ending(OnceRestored):
    def __iter__(self) -> Iterator[Batch]:
        return itertools.islice(super().__iter__(), 1 if self.cursor != Cursor() else None)


class ShuffleBuffer(BatchStream):
    """Gives batches through a buffer whose random state no cursor holds."""

    def __iter__(self) -> Iterator[Batch]:
        chosen = random.Random(0)
        cursors, buffer = [], []
        for batch in super().__iter__():
            cursors.append(batch.cursor)
            buffer.append(batch)
            if len(buffer) == 4:
                drawn = buffer.pop(chosen.randrange(4))
                yield drawn._replace(cursor=cursors[len(cursors) - 4])
        for batch, cursor in zip(buffer, cursors[-3:], strict=True):
            yield batch._replace(cursor=cursor)


MUTANTS = {
    OffByOne: r"step 8, {eighth} of window 1 of epoch 0 of .*: "
    r"(its pairs are those of step 9|it has {ninth_pairs} pairs, not {eighth_pairs}: .*); ",
    Dropping: r"step 9, {ninth} .*: it has {fewer} pairs, not {ninth_pairs}: "
    r"pair [0-9a-f]{{16}} is missing; ",
    Repeating: r"step 9, {ninth} .*: it has {more} pairs, not {ninth_pairs}: "
    r"pair [0-9a-f]{{16}} came twice; ",
    Swapping: r"step 9, {ninth} .*: its pairs are the same in another order; ",
    Rewriting: r"step 9, {ninth} .*: it differs in target_ids; ",
    Ending: r"step 9, {ninth} .*: it does not come; ",
}


def expected_message(pairs: Dataset, mutant: type[BatchStream]) -> str:
    """The pattern of a mutant, with what steps 8 and 9 of the exact stream are."""
    steps = list(itertools.islice(BatchStream(pairs, CONFIG), 9))
    ninth_pairs = len(steps[8].pair_ids)
    return MUTANTS[mutant].format(
        eighth=f"batch {steps[6].cursor.batch}",
        ninth=f"batch {steps[7].cursor.batch}",
        eighth_pairs=len(steps[7].pair_ids),
        ninth_pairs=ninth_pairs,
        fewer=ninth_pairs - 1,
        more=ninth_pairs + 1,
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_stream_that_is_not_exact_is_found_with_the_first_difference(
    pairs: Dataset, tmp_path: Path, mutant: type[BatchStream]
) -> None:
    reading = Reading((mutant(pairs, CONFIG),))
    write_steps(reading, tmp_path / "steps", steps=WHOLE)
    with pytest.raises(InexactStreamError, match=expected_message(pairs, mutant)) as told:
        restore(reading, tmp_path / "steps", 7, None, Layout())
    assert "restored behind step 7 by 1 rank(s) with 0 loader process(es)" in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_shuffle_buffer_is_found_where_its_cursor_is_not_enough(
    pairs: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=1, window_samples=5000)
    reading = Reading((ShuffleBuffer(pairs, config),))
    with pytest.raises(LostSamplesError):
        write_steps(reading, tmp_path / "steps", steps=WHOLE)
    write_steps(reading, tmp_path / "begun", steps=4)
    with pytest.raises(InexactStreamError, match=r"step 4, .*its pairs are"):
        restore(reading, tmp_path / "begun", 3, None, Layout())


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [OffByOne, Dropping], ids=lambda mutant: mutant.__name__)
def test_a_difference_in_a_new_process_is_one_line_here(
    pairs: Dataset, mutant: type[BatchStream]
) -> None:
    with pytest.raises(InexactStreamError, match="is not the same again") as told:
        check_stream(Reading((mutant(pairs, CONFIG),)), snapshots=5, tail=5)
    assert len(str(told.value).splitlines()) == 1


class Losing(BatchStream):
    """Loses the first row of every batch, restored or not."""

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            yield kept(batch, list(range(1, len(batch.pair_ids))))


def test_what_is_lost_in_every_reading_alike_is_found_by_the_proof(
    pairs: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(LostSamplesError, match=r"window 0 .* are missing"):
        write_steps(Reading((Losing(pairs, CONFIG),)), tmp_path / "steps", steps=WHOLE)


def test_a_rank_with_other_rows_than_its_own_is_found(pairs: Dataset) -> None:
    stream = BatchStream(pairs, CONFIG)
    parts = [next(iter(stream.at(Cursor(), rank=rank, world_size=3))) for rank in range(3)]
    whole = next(iter(stream))
    joined = join_ranks(parts, "batch 0")
    assert np.array_equal(joined.input_ids, whole.input_ids)
    assert np.array_equal(joined.pair_ids, whole.pair_ids)
    with pytest.raises(InexactStreamError, match="batch 0: rank 1 of 3 has 16 pairs"):
        join_ranks([parts[0], parts[2], parts[1]], "batch 0")


def die(status: int) -> None:
    raise SystemExit(status)


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_not_taken_for_a_success() -> None:
    with pytest.raises(TrainingError, match="a process ended with status 3 before"):
        list(in_new_processes(die, [(3,)], 1))


RUN = "import sys; sys.path.pop(0); from trainer.cli import main; main()"


def start_check(pairs_url: str, cwd: Path, *options: str) -> subprocess.Popen[str]:
    """`trainer check` as a program, whose path has no working directory in it."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, "check", "--data", pairs_url, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_folder_called_as_this_program_is_not_taken_for_it(
    pairs_url: str, tmp_path: Path
) -> None:
    (tmp_path / "trainer" / "stream").mkdir(parents=True)
    for file in ("__init__.py", "stream/__init__.py", "stream/check.py"):
        (tmp_path / "trainer" / file).touch()
    process = start_check(pairs_url, tmp_path, "--snapshots", "1", "--steps", "4")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "no difference" in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_check_that_is_ended_leaves_no_process(
    pairs_url: str, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    more = ("--batch-size", "2", "--snapshots", "all", "--tail", "0", "--steps", "900")
    process = start_check(pairs_url, tmp_path, *more, "--workers", workers)
    while process.poll() is None and len(processes_of(process.pid)) < 4 + int(workers):
        time.sleep(0.02)  # asked again and again, it would take the time of what it waits for
    os.killpg(process.pid, number) if number == signal.SIGINT else process.kill()
    _, errors = process.communicate(timeout=60)
    wait_until_gone(process.pid)
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    if number == signal.SIGINT:
        assert errors == (
            "error: interrupted; what was not finished was not published; "
            "run the same command again\n"
        )


def processes_of(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-o", "pid=", "-g", str(group)], capture_output=True, text=True)
    return listed.stdout.split()


def test_snapshots_are_chosen_around_the_end_of_an_epoch_first() -> None:
    assert choose_snapshots(70, [20, 40, 60], 5) == [0, 1, 19, 20, 35]
    assert choose_snapshots(70, [20, 40, 60], 2) == [19, 20]
    assert set(choose_snapshots(70, [20], 9)) > {0, 1, 19, 20, 35}
    assert choose_snapshots(3, [], 100) == [0, 1, 2]
