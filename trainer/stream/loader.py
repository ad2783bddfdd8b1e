"""A stream → its batches, made by threads of this process or by loader workers, and on a device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from shards.cli.child import follow_parent, uninterrupted
from shards.errors import PrometheusError
from trainer.stream.background import prefetch
from trainer.stream.batching import Batch, BatchGroup
from trainer.stream.dataset import BatchStream


class _WorkerPart(IterableDataset[list[BatchGroup] | PrometheusError]):
    """What one loader worker makes of a stream: every n-th window, and an error as an item.

    DataLoader turns an error raised in a worker into a traceback for the user to read.
    """

    def __init__(self, stream: BatchStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[list[BatchGroup] | PrometheusError]:
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
    loader: DataLoader[list[BatchGroup] | PrometheusError] = DataLoader(
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
    with uninterrupted():
        items = iter(loader)
    try:
        for item in items:
            if isinstance(item, PrometheusError):
                raise item
            for group in item:
                yield from group.batches()
    finally:
        with uninterrupted():
            del items  # which ends the workers


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
