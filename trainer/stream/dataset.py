"""A data set version and a cursor → an endless, exact stream of batches (an IterableDataset)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from shards.block import Block
from shards.cli.child import follow_parent
from shards.dataset import Dataset
from shards.errors import PrometheusError
from shards.manifest import BlobInfo, ShardInfo, Split
from shards.reader import read_shard
from trainer.errors import TrainingError
from trainer.stream.background import prefetch
from trainer.stream.batching import Batch, Direction, Markers, collate, model_lengths
from trainer.stream.cache import BlobCache
from trainer.stream.order import (
    BatchBudget,
    Cursor,
    Rows,
    plan_window,
    rank_rows,
    shard_order,
    window_bounds,
)
from trainer.stream.window import Window, load_window

_BATCHES_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """What decides the global batch sequence, and which part of it this rank takes."""

    budget: BatchBudget
    seed: int = 0
    window_shards: int = 8
    split: Split = "train"
    direction: Direction = "ru-en"
    epochs: int | None = None  # None: without end
    rank: int = 0
    world_size: int = 1


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
    ) -> None:
        if not dataset.manifest.splits[config.split].samples:
            raise TrainingError(
                f"{dataset.ref.url} has no samples in split {config.split!r}; there is nothing "
                "to read; build it with another --val-fraction"
            )
        self.dataset = dataset
        self.config = config
        self.cursor = cursor or Cursor()
        self.cache = cache
        self._markers = Markers.of(dataset.manifest)

    def __iter__(self) -> Iterator[Batch]:
        return prefetch(self.batches(), depth=_BATCHES_AHEAD)

    def batches(self, worker: int = 0, num_workers: int = 1) -> Iterator[Batch]:
        """Every `num_workers`-th batch, from the cursor on, made when it is asked for."""
        position = 0
        for cursor, window in prefetch(self._windows(), depth=1):
            lengths = model_lengths(window, self._markers, self.config.direction, cursor.epoch)
            plan = plan_window(
                *lengths,
                self.config.budget,
                seed=self.config.seed,
                epoch=cursor.epoch,
                window=cursor.window,
            )
            if cursor.batch > len(plan):
                raise TrainingError(
                    f"position {cursor} is beyond the {len(plan)} batches of its window: it "
                    "belongs to other data or another batch size; resume with those of the run"
                )
            for batch in range(cursor.batch, len(plan)):
                if position % num_workers == worker:
                    yield self._collate(window, lengths, plan, replace(cursor, batch=batch))
                position += 1

    def _collate(
        self, window: Window, lengths: tuple[Rows, Rows], plan: list[Rows], at: Cursor
    ) -> Batch:
        rows = plan[at.batch]
        return collate(
            window,
            rows,
            rank_rows(rows, self.config.rank, self.config.world_size),
            lengths=lengths,
            markers=self._markers,
            direction=self.config.direction,
            cursor=self._next(at, len(plan)),
            epoch=at.epoch,
        )

    def _next(self, at: Cursor, num_batches: int) -> Cursor:
        """The position behind a batch."""
        if at.batch + 1 < num_batches:
            return replace(at, batch=at.batch + 1)
        if at.window + 1 < len(self._bounds()):
            return Cursor(at.epoch, at.window + 1, 0)
        return Cursor(at.epoch + 1, 0, 0)

    def _bounds(self) -> list[tuple[int, int]]:
        shards = self.dataset.manifest.splits[self.config.split].shards
        return window_bounds(len(shards), self.config.window_shards)

    def _windows(self) -> Iterator[tuple[Cursor, Window]]:
        shards = self.dataset.manifest.splits[self.config.split].shards
        bounds = self._bounds()
        at = self.cursor
        if at.window >= len(bounds):
            raise TrainingError(
                f"position {at} is beyond the {len(bounds)} windows of an epoch: it belongs to "
                "other data or another --window-shards; resume with those of the run"
            )
        while self.config.epochs is None or at.epoch < self.config.epochs:
            order = shard_order(len(shards), self.config.seed, at.epoch)
            for number in range(at.window, len(bounds)):
                start, end = bounds[number]
                window = load_window(self._read_shard, [shards[i] for i in order[start:end]])
                yield replace(at, window=number), window
                at = Cursor(at.epoch, number + 1, 0)
            at = Cursor(at.epoch + 1, 0, 0)

    def _read_shard(self, info: ShardInfo) -> list[Block]:
        return read_shard(self.read_blob(info), info)

    def read_blob(self, info: BlobInfo) -> bytes:
        """A blob of the data set, by way of the cache if there is one."""
        return self.cache.read(info) if self.cache else self.dataset.read_blob(info)


class _WorkerPart(IterableDataset[Batch | PrometheusError]):
    """What one loader worker makes of a stream: every n-th batch, and an error as an item.

    DataLoader turns an error raised in a worker into a traceback for the user to read.
    """

    def __init__(self, stream: BatchStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Batch | PrometheusError]:
        worker = get_worker_info()
        assert worker is not None, "only loader workers read a part"
        part = self._stream.batches(worker.id, worker.num_workers)
        try:
            yield from prefetch(part, depth=_BATCHES_AHEAD)
        except PrometheusError as error:
            yield error


def _as_is(item: Any) -> Any:
    """Batches stay numpy on their way between processes: a tensor would cost a file each."""
    return item


def read_batches(stream: BatchStream, num_workers: int = 0) -> Iterator[Batch]:
    """The batches of a stream in their order, made by threads here or by loader workers.

    Raises:
        ShardError, TrainingError: where the batch that cannot be had is asked for.
    """
    if not num_workers:
        yield from stream
        return
    loader: DataLoader[Batch | PrometheusError] = DataLoader(
        _WorkerPart(stream),
        batch_size=None,
        collate_fn=_as_is,
        num_workers=num_workers,
        worker_init_fn=follow_parent,
        # its own: an iterator draws a seed from it, which must not shift the run's dropout
        generator=torch.Generator(),
        multiprocessing_context="spawn",
    )
    for item in loader:
        if isinstance(item, PrometheusError):
            raise item
        yield item


@dataclass(frozen=True, slots=True)
class DeviceBatch:
    """The part of a batch that the model takes, on its device."""

    input_ids: torch.Tensor  # [B, S] int64
    target_ids: torch.Tensor  # [B, T] int64


def to_device(batch: Batch, device: torch.device) -> DeviceBatch:
    """Copy a batch to a device; to CUDA from pinned memory, without waiting for it."""
    tensors = [torch.from_numpy(array) for array in (batch.input_ids, batch.target_ids)]
    if device.type == "cuda":
        tensors = [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
    return DeviceBatch(*tensors)
