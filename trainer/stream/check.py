"""A stream, read once, and again from its snapshots in new processes → the first difference.

A step is written down as hashes of its arrays, with the snapshot behind it, in a file. So neither
this process nor one that restores a snapshot holds more than the batches that it is reading.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shards.cli.console import Report, silent
from shards.sample import ids_digest
from trainer.errors import TrainingError
from trainer.stream.batching import Batch
from trainer.stream.dataset import BatchStream
from trainer.stream.mix import advance, read_mixture
from trainer.stream.order import Cursor, rank_rows
from trainer.stream.processes import in_new_processes
from trainer.stream.proof import Progress, Tally, difference

_MAX_PROCESSES: Final = 4


class InexactStreamError(TrainingError):
    """A stream that was restored gives other batches than the one whose snapshot it is."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Who reads: so many ranks, each with so many loader processes for each data set."""

    ranks: int = 1
    workers: int = 0

    def __str__(self) -> str:
        return f"{self.ranks} rank(s) with {self.workers} loader process(es)"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: the data sets of a run, and how they are mixed."""

    streams: tuple[BatchStream, ...]
    weights: tuple[Fraction, ...] = (Fraction(1),)

    def start(self) -> list[Progress]:
        return [Progress() for _ in self.streams]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is compared of a step: its global batch, put together from all ranks."""

    source: int
    at: list[int]  # where the batch was read
    pairs: int
    digest: str  # of its pair ids in any order
    pair_ids: str  # hashes of arrays, in the order of their rows
    input_ids: str
    target_ids: str
    target_tokens: int
    progress: list[dict[str, Any]]  # of each data set behind the step: what a checkpoint holds


@dataclass(frozen=True, slots=True)
class Checked:
    """What was compared, without a difference."""

    steps: int
    epoch_ends: list[int]  # steps with which a data set ended an epoch
    snapshots: list[int]  # after how many steps each was taken
    restores: int  # in a new process each
    compared_steps: int


def read_steps(
    reading: Reading, progress: Sequence[Progress], layout: Layout = Layout()
) -> Iterator[Step]:
    """The steps from a snapshot on; each window and epoch that ends is proven, as in training.

    Raises:
        InexactStreamError: when the parts of the ranks are not the global batch.
        LostSamplesError: when a window or an epoch did not hold each sample exactly once.
    """
    now = list(progress)
    ranks = []
    for rank in range(layout.ranks):
        streams = [
            stream.at(part.cursor, rank=rank, world_size=layout.ranks)
            for stream, part in zip(reading.streams, now, strict=True)
        ]
        ranks.append(read_mixture(streams, reading.weights, now, layout.workers))
    for turns in itertools.zip_longest(*ranks):
        parts = [turn[1] for turn in turns if turn is not None]
        sources = {None if turn is None else turn[0] for turn in turns}
        if len(sources) > 1:
            raise InexactStreamError(
                f"ranks are not at the same data set, or some have ended ({sources}), behind "
                f"{[tuple(part.cursor) for part in now]}"
            )
        number = turns[0][0]
        stream, at = reading.streams[number], now[number].cursor
        batch = join_ranks(parts, f"{_place(at)} of {stream.dataset.ref.url}")
        now[number] = advance(now[number], batch, stream)
        yield _step(number, at, batch, now)


def join_ranks(parts: Sequence[Batch], subject: str) -> Batch:
    """The global batch from the parts of all ranks, rank 0 first.

    Raises:
        InexactStreamError: when a rank has not its share of it.
    """
    first, ids = parts[0], parts[0].global_pair_ids
    rows = np.arange(len(ids))
    inputs = np.zeros((len(ids), first.input_ids.shape[1]), np.int64)
    targets = np.zeros((len(ids), first.target_ids.shape[1]), np.int64)
    for rank, part in enumerate(parts):
        own = rank_rows(rows, rank, len(parts))
        told = (part.cursor, part.global_target_tokens, part.global_pair_ids.tolist())
        if (
            told != (first.cursor, first.global_target_tokens, ids.tolist())
            or not np.array_equal(part.pair_ids, ids[own])
            or part.input_ids.shape != (len(own), inputs.shape[1])
            or part.target_ids.shape != (len(own), targets.shape[1])
        ):
            raise InexactStreamError(
                f"{subject}: rank {rank} of {len(parts)} has {len(part.pair_ids)} pairs that are "
                f"not its {len(own)} of the {len(ids)} of the global batch; training on it would "
                "not be exact; report it with this line"
            )
        inputs[own], targets[own] = part.input_ids, part.target_ids
    return first._replace(input_ids=inputs, target_ids=targets, pair_ids=ids)


def _step(source: int, at: Cursor, batch: Batch, progress: Sequence[Progress]) -> Step:
    return Step(
        source=source,
        at=list(at),
        pairs=len(batch.pair_ids),
        digest=ids_digest(batch.pair_ids),
        pair_ids=_hash(batch.pair_ids),
        input_ids=_hash(batch.input_ids),
        target_ids=_hash(batch.target_ids),
        target_tokens=batch.global_target_tokens,
        progress=[part.dump() for part in progress],
    )


def _hash(array: npt.NDArray[Any]) -> str:
    told = hashlib.sha256(repr(array.shape).encode())
    told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()[:32]


def _place(at: Sequence[int]) -> str:
    epoch, window, batch = at
    return f"batch {batch} of window {window} of epoch {epoch}"


def write_steps(
    reading: Reading,
    path: Path,
    layout: Layout = Layout(),
    *,
    steps: int = 0,
    tail: int = 0,
    report: Report = silent,
) -> tuple[int, list[int]]:
    """Read a stream from its beginning and write down every step, with the snapshot behind it.

    Ends after `steps`, or with 0 after the first epoch that ends and `tail` more, or with the
    stream. Returns how many steps there were, and those with which an epoch ended.
    """
    number, ends = 0, []
    with path.open("w", encoding="utf-8") as file:
        for number, step in enumerate(read_steps(reading, reading.start(), layout), start=1):
            file.write(json.dumps(dataclasses.asdict(step)) + "\n")
            if step.progress[step.source]["cursor"][0] > step.at[0]:
                ends.append(number)
            report("read", number, steps or None)
            if number == steps or (not steps and ends and number >= ends[0] + tail):
                break
    return number, ends


def _read_written(path: Path, behind: int, tail: int | None) -> Iterator[Step]:
    with path.open(encoding="utf-8") as file:
        stop = None if tail is None else behind + tail
        for line in itertools.islice(file, behind, stop):
            yield Step(**json.loads(line))


def restore(reading: Reading, path: Path, snapshot: int, tail: int | None, layout: Layout) -> int:
    """Restore the snapshot behind a step, 0 for the beginning, and compare the steps that follow.

    Returns how many were compared: `tail`, or all that were written with None.

    Raises:
        InexactStreamError: naming the first that differs, and in what.
        LostSamplesError: when a window or an epoch did not hold each sample exactly once.
    """
    progress = reading.start()
    if snapshot:
        (before,) = _read_written(path, snapshot - 1, 1)
        progress = [Progress.load(part) for part in before.progress]
    found = read_steps(reading, progress, layout)
    number = snapshot
    for number, expected in enumerate(_read_written(path, snapshot, tail), start=snapshot + 1):
        step = next(found, None)
        if step == expected:
            continue
        told = "it does not come" if step is None else _describe(step, expected, path)
        url = reading.streams[expected.source].dataset.ref.url
        raise InexactStreamError(
            f"step {number}, {_place(expected.at)} of {url}, is not the same again: {told}; "
            f"restored behind step {snapshot} by {layout}; a resumed run would see other batches; "
            "report it with this line"
        )
    return number - snapshot


def _describe(found: Step, expected: Step, path: Path) -> str:
    """How a step differs from the one that was written."""
    if found.pairs != expected.pairs and found.source == expected.source:
        tallies = [Tally(step.pairs, step.digest) for step in (found, expected)]
        return f"it has {found.pairs} pairs, not {expected.pairs}: {difference(*tallies)}"
    if found.pair_ids != expected.pair_ids:
        steps = enumerate(_read_written(path, 0, None), start=1)
        same = next((n for n, step in steps if step.pair_ids == found.pair_ids), None)
        if same is not None:
            return f"its pairs are those of step {same}"
        mixed = found.digest == expected.digest
        return "its pairs are the same in another order" if mixed else "its pairs are others"
    names = [field.name for field in dataclasses.fields(Step)]
    differ = [name for name in names if getattr(found, name) != getattr(expected, name)]
    return f"it differs in {', '.join(differ)}"


def choose_snapshots(steps: int, epoch_ends: Sequence[int], count: int, seed: int = 0) -> list[int]:
    """After which steps to take snapshots: before and behind the last batch of an epoch, behind
    the first batch, in the middle, at the beginning, and then at random.
    """
    edges = [number for end in epoch_ends[:1] for number in (end - 1, end)]
    others = random.Random(seed).sample(range(steps), min(count, steps))
    wanted = dict.fromkeys([*edges, 1, steps // 2, 0, *others])
    return sorted([number for number in wanted if number < steps][:count])


def check_stream(
    reading: Reading,
    *,
    steps: int = 0,
    snapshots: int | None = 8,
    tail: int | None = 50,
    written: Layout = Layout(),
    restored: Sequence[Layout] = (Layout(),),
    seed: int = 0,
    report: Report = silent,
) -> Checked:
    """Read a stream, restore snapshots of it, each in a new process, and compare what follows.

    Args:
        steps: How many are read; 0: to the end of the first epoch that ends, and `tail` more.
        snapshots: How many are restored; None: the one behind every step, and the beginning.
        tail: How many steps are compared from each; None: all that were read.
        written: Who reads first, and takes the snapshots.
        restored: Who restores each of them, one after the other.

    Raises:
        InexactStreamError, LostSamplesError: at the first difference that is found.
    """
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        path = Path(folder) / "steps.jsonl"
        read, ends = write_steps(reading, path, written, steps=steps, tail=tail or 0, report=report)
        numbers = list(range(read))
        if snapshots is not None:
            numbers = choose_snapshots(read, ends, snapshots, seed)
        tasks = [(reading, path, number, tail, layout) for layout in restored for number in numbers]
        compared = 0
        at_once = min(_MAX_PROCESSES, len(os.sched_getaffinity(0)))
        for done, count in enumerate(in_new_processes(restore, tasks, at_once), start=1):
            compared += count
            report("restore", done, len(tasks))
    return Checked(read, ends, numbers, len(tasks), compared)
