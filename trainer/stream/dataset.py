"""A data set version and a cursor → an endless, exact stream of batches (an IterableDataset)."""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from torch.utils.data import IterableDataset

from shards.block import Block
from shards.dataset import Dataset
from shards.manifest import BlobInfo, ShardInfo, Split
from shards.reader import decode_shard
from shards.sample import combine_digests
from trainer.errors import TrainingError
from trainer.stream.background import prefetch
from trainer.stream.batching import (
    Batch,
    BatchGroup,
    FramedWindow,
    Markers,
    collate,
    direction_of,
    frame_window,
)
from trainer.stream.cache import BlobCache
from trainer.stream.order import (
    BatchBudget,
    Cursor,
    WindowPlan,
    plan_window,
    shard_order,
    window_bounds,
)
from trainer.stream.proof import Promise, Tally
from trainer.stream.selection import Selection, ShardPart
from trainer.stream.window import Window, load_window

_GROUPS_AHEAD: Final = 2
_GROUP_CELLS: Final = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """What decides the global batch sequence, and which part of it this rank takes."""

    budget: BatchBudget
    seed: int = 0
    window_samples: int = 1 << 17
    split: Split = "train"
    direction: str = "src-tgt"  # or by languages: `direction_of`
    epochs: int | None = None  # None: without end
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A window with its batches, to be read from the cursor on."""

    cursor: Cursor
    framed: FramedWindow
    plan: WindowPlan


class BatchStream(IterableDataset[Batch]):
    """Batches from a cursor on; a pure function of the data set version and the configuration.

    Windows are loaded ahead in a background thread, and batches padded ahead of their use.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: StreamConfig,
        *,
        cursor: Cursor | None = None,
        cache: BlobCache | None = None,
        selection: Selection | None = None,
    ) -> None:
        shards = dataset.manifest.splits[config.split].shards
        self.parts = selection.parts if selection else tuple(map(ShardPart.whole, shards))
        if not self.parts:
            left = "left after the filters" if selection else f"in split {config.split!r}"
            remedy = "ask for less" if selection else "build it with another --val-fraction"
            raise TrainingError(
                f"{dataset.ref.url} has no samples {left}; there is nothing to read; {remedy}"
            )
        self.dataset = dataset
        self.config = config
        self.cursor = cursor or Cursor()
        self.cache = cache
        self._selector = selection.selector if selection else None
        self._markers = Markers.of(dataset.manifest)
        self._direction = direction_of(
            config.direction, dataset.manifest.languages, dataset.ref.url
        )

    def at(self, cursor: Cursor, *, rank: int = 0, world_size: int = 1) -> "BatchStream":
        """The same stream from another cursor on, as one of some ranks reads it."""
        moved = copy.copy(self)
        moved.cursor = cursor
        moved.config = replace(self.config, rank=rank, world_size=world_size)
        return moved

    def __iter__(self) -> Iterator[Batch]:
        for group in prefetch(self._groups(), depth=_GROUPS_AHEAD):
            yield from group.batches()

    def _groups(self) -> Iterator[BatchGroup]:
        for planned in prefetch(self.planned_windows(), depth=1):
            yield from self._pad(planned)
            del planned  # the next window may take its place in memory

    def windows(self, worker: int, num_workers: int) -> Iterator[list[BatchGroup]]:
        """Every `num_workers`-th window from the cursor on, all of its batches padded."""
        for planned in self.planned_windows(worker, num_workers):
            yield list(self._pad(planned))

    def planned_windows(self, worker: int = 0, num_workers: int = 1) -> Iterator[PlannedWindow]:
        """Each window from the cursor on, with its batches; the first may begin in the middle.

        Raises:
            TrainingError: when the cursor is not a position of this stream.
        """
        for number, cursor in enumerate(self._positions()):
            if number % num_workers != worker:
                continue
            window = self._load(cursor)
            framed = frame_window(window, self._markers, self._direction, cursor.epoch)
            plan = plan_window(
                framed.inputs.length,
                framed.targets.length,
                self.config.budget,
                seed=self.config.seed,
                epoch=cursor.epoch,
                window=cursor.window,
            )
            if cursor.batch >= len(plan):
                raise TrainingError(
                    f"position {tuple(cursor)} is beyond the {len(plan)} batches of its window: "
                    "it belongs to other data or another batch size; resume with those of the run"
                )
            yield PlannedWindow(cursor, framed, plan)

    def _positions(self) -> Iterator[Cursor]:
        """The cursor, and the beginnings of the windows behind it."""
        at = self.cursor
        if at.window >= len(self._windows_of(at.epoch)):
            raise TrainingError(
                f"position {tuple(at)} is beyond the {len(self._windows_of(at.epoch))} windows of "
                "its epoch: it belongs to other data or another --window-samples; resume with "
                "those of the run"
            )
        while self.config.epochs is None or at.epoch < self.config.epochs:
            yield at
            at = self._next_window(at)

    def _next_window(self, at: Cursor) -> Cursor:
        if at.window + 1 < len(self._windows_of(at.epoch)):
            return Cursor(at.epoch, at.window + 1, 0)
        return Cursor(at.epoch + 1, 0, 0)

    def window_before(self, behind: Cursor) -> Cursor:
        """The beginning of the window in which the batch before a position lies."""
        if behind.batch:
            return behind._replace(batch=0)
        if behind.window:
            return Cursor(behind.epoch, behind.window - 1, 0)
        epoch = behind.epoch - 1
        return Cursor(epoch, len(self._windows_of(epoch)) - 1, 0)

    def _windows_of(self, epoch: int) -> list[list[ShardPart]]:
        """The shards of each window of an epoch."""
        order = shard_order(len(self.parts), self.config.seed, epoch)
        parts = [self.parts[number] for number in order]
        bounds = window_bounds([part.samples for part in parts], self.config.window_samples)
        return [parts[start:end] for start, end in bounds]

    def window_parts(self, epoch: int, window: int) -> list[ShardPart]:
        """The shards of one window, in their order."""
        return self._windows_of(epoch)[window]

    def _load(self, at: Cursor) -> Window:
        parts = self.window_parts(at.epoch, at.window)
        window = load_window(self.read_shard, [part.info for part in parts])
        return self._selector.select(window) if self._selector else window

    def promise(self, epoch: int, window: int | None = None) -> Promise:
        """What an epoch, or one window of it, has to hold according to the manifest."""
        windows = self._windows_of(epoch)
        parts = list(itertools.chain(*windows)) if window is None else windows[window]
        subject = f"epoch {epoch} of {self.dataset.ref.url}"
        if window is not None:
            names = ", ".join(part.info.sha256[:12] for part in parts)
            subject = f"window {window} (shards {names}) of {subject}"
        digest = combine_digests([part.digest for part in parts])
        return Promise(subject, Tally(sum(part.samples for part in parts), digest))

    def _pad(self, planned: PlannedWindow) -> Iterator[BatchGroup]:
        """The batches of a window from its cursor on, some at a time."""
        at, plan = planned.cursor, planned.plan
        size = _group_size(planned)
        for first in range(at.batch, len(plan), size):
            last = min(first + size, len(plan))
            behind = [Cursor(at.epoch, at.window, batch) for batch in range(first + 1, last + 1)]
            if last == len(plan):
                behind[-1] = self._next_window(at)
            yield collate(
                planned.framed,
                plan,
                first,
                behind,
                self._markers,
                rank=self.config.rank,
                world_size=self.config.world_size,
            )

    def read_shard(self, info: ShardInfo) -> list[Block]:
        """The blocks of a shard, verified."""
        return decode_shard(self.read_blob(info), info)

    def read_blob(self, info: BlobInfo) -> bytes:
        """A blob of the data set, by way of the cache if there is one."""
        return self.cache.read(info) if self.cache else self.dataset.read_blob(info)


def _group_size(planned: PlannedWindow) -> int:
    """How many batches of a window are padded at once; a function of the window alone."""
    ids = int(planned.framed.inputs.length.sum() + planned.framed.targets.length.sum())
    return max(1, _GROUP_CELLS * len(planned.plan) // ids)
