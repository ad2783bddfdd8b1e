"""A stream → its batches, made by threads of this process or by loader workers, and on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from shards.cli.child import follow_parent, starting, uninterrupted
from shards.errors import PrometheusError
from trainer.stream.background import prefetch
from trainer.stream.batching import Batch, BatchGroup
from trainer.stream.dataset import BatchStream

Item = list[BatchGroup] | PrometheusError


class _WorkerPart(IterableDataset[Item]):
    """What one loader worker makes of a stream: every n-th window, and an error as an item.

    DataLoader turns an error raised in a worker into a traceback for the user to read.
    """

    def __init__(self, stream: BatchStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        assert worker is not None, "only loader workers read a part"
        try:
            yield from prefetch(self._stream.windows(worker.id, worker.num_workers), depth=1)
        except PrometheusError as error:
            yield error


def _as_is(item: Any) -> Any:
    """Groups stay numpy on their way between processes: a tensor would cost a file each."""
    return item


def read_batches(stream: BatchStream, num_workers: int = 0) -> Iterator[Batch]:
    """The batches of a stream in their order, made by threads here or by loader workers.

    Raises:
        ShardError, TrainingError: where the batch that cannot be had is asked for.
    """
    if not num_workers:
        yield from stream
        return
    loader: DataLoader[Item] = DataLoader(
        _WorkerPart(stream),
        batch_size=None,
        collate_fn=_as_is,
        num_workers=num_workers,
        prefetch_factor=1,
        worker_init_fn=follow_parent,
        # its own: an iterator draws a seed from it, which must not shift the run's dropout
        generator=torch.Generator(),
        multiprocessing_context="spawn",
    )
    with _workers_of(loader) as items:
        for item in items:
            if isinstance(item, PrometheusError):
                raise item
            for group in item:
                yield from group.batches()


@contextmanager
def _workers_of(loader: DataLoader[Item]) -> Iterator[Iterator[Item]]:
    """What workers make; these start and end as a whole, whatever signal comes meanwhile.

    Left to the end of an iterator's life, a signal that comes then is a traceback of torch.
    """
    items: Any = None
    try:
        with starting():
            items = iter(loader)
        yield items
    finally:
        if items is not None:
            with uninterrupted():
                items._shutdown_workers()  # torch has no other name for it


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
