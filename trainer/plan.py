"""A data set's tables of lengths and a stream's configuration → exactly what its epochs will be.

No shard is read for it: the batches of a window follow from the lengths in it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from shards.block import id_dtype
from shards.lengths import ShardLengths, count_lengths, load_lengths, merge_lengths
from shards.manifest import Manifest, ShardInfo
from trainer.stream.batching import direction_of, framed_lengths, is_reversed
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import batch_shapes, shard_order, window_bounds
from trainer.stream.selection import Selector
from trainer.stream.window import join_blocks
from trainer.training.data import Source

_SAMPLE_BYTES: Final = 83
"""What a window holds for a sample besides its ids: where it lies and how long it is, on two sides,
stored and framed (64), its pair id (8), source (2), direction (1) and place in the order (8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """One epoch, counted as training will count it."""

    epoch: int
    windows: int
    steps: int
    samples: int
    input_tokens: int  # with <to_x>, tags and <eos>, without padding
    target_tokens: int  # that are predicted: <eos> counts, <bos> does not
    cells: int  # of padded inputs and targets together, <bos> included
    padding: int  # how many of the cells are no token
    largest_batch: int  # cells of the largest batch
    fetch_bytes: int  # of shards; at most, since a cache may hold some already
    memory_bytes: int  # that samples take at the most, an estimate

    @property
    def padding_share(self) -> float:
        return self.padding / self.cells


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard as a stream reads it: its file, and the lengths of the samples that are read."""

    info: ShardInfo
    lengths: ShardLengths


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a run makes of one of its data sets."""

    url: str  # as the user gave it
    version: str
    epochs: tuple[EpochPlan, ...]  # the first ones
    run_epochs: float  # how many of them all steps of the run make


def plan_run(
    sources: Sequence[Source], config: StreamConfig, max_steps: int, epochs: int = 1
) -> list[SourcePlan]:
    """The plan of every data set of a run, and how many epochs of each `max_steps` will be.

    The first epochs stand for those that follow, whose steps may differ by one for each window.

    Raises:
        ShardError, TrainingError: as `plan_source`.
    """
    plans = [plan_source(source, config, epochs) for source in sources]
    samples = [np.mean([epoch.samples for epoch in plan]) for plan in plans]
    steps = [np.mean([epoch.steps for epoch in plan]) for plan in plans]
    # of several data sets the samples are in proportion to the weights, and steps to both
    turns = [
        float(source.weight) * own_steps / own_samples
        for source, own_steps, own_samples in zip(sources, steps, samples, strict=True)
    ]
    return [
        SourcePlan(
            source.url,
            source.dataset.version,
            tuple(plan),
            float(max_steps * turn / sum(turns) / own_steps),
        )
        for source, plan, turn, own_steps in zip(sources, plans, turns, steps, strict=True)
    ]


def plan_source(source: Source, config: StreamConfig, epochs: int = 1) -> list[EpochPlan]:
    """What the first epochs of one data set of a run will be, its filters and cache considered.

    Raises:
        ShardError: when the lengths cannot be read.
        TrainingError: when there is nothing to train on.
    """
    shards = read_planned_shards(source, config)
    limit = source.cache.max_bytes if source.cache else 0
    return plan_epochs(shards, source.dataset.manifest, config, epochs, cache_bytes=limit)


def read_planned_shards(source: Source, config: StreamConfig) -> list[PlannedShard]:
    """The shards that a stream reads, in the manifest's order.

    Their lengths come from the version's table; with a filter every shard is looked through.
    """
    stream = source.stream(config)
    if selection := source.selections.get(config.split):
        return [
            PlannedShard(part.info, _selected_lengths(stream, part.info, selection.selector))
            for part in selection.parts
        ]
    info = source.dataset.manifest.splits[config.split]
    lengths = load_lengths(stream.read_blob(info.lengths), info)
    return [PlannedShard(shard, one) for shard, one in zip(info.shards, lengths, strict=True)]


def _selected_lengths(stream: BatchStream, info: ShardInfo, selector: Selector) -> ShardLengths:
    window = selector.select(join_blocks(stream.read_shard(info)))
    return count_lengths(window.id, window.src.length, window.tgt.length)


def plan_epochs(
    shards: Sequence[PlannedShard],
    manifest: Manifest,
    config: StreamConfig,
    epochs: int = 1,
    *,
    cache_bytes: int = 0,
) -> list[EpochPlan]:
    """What each of the first epochs over some shards, at least one, will be.

    `cache_bytes` is the limit of the cache: what fits into it whole is fetched once only.
    """
    total_bytes = sum(shard.info.bytes for shard in shards)
    plans = []
    for epoch in range(epochs):
        order = [shards[number] for number in shard_order(len(shards), config.seed, epoch)]
        bounds = window_bounds([shard.lengths.samples for shard in order], config.window_samples)
        windows = [order[start:end] for start, end in bounds]
        counts = [_count(window, manifest, config, epoch) for window in windows]
        plans.append(
            EpochPlan(
                epoch=epoch,
                windows=len(windows),
                steps=sum(one.steps for one in counts),
                samples=sum(one.samples for one in counts),
                input_tokens=sum(one.input_tokens for one in counts),
                target_tokens=sum(one.target_tokens for one in counts),
                cells=sum(one.cells for one in counts),
                padding=sum(one.padding for one in counts),
                largest_batch=max(one.largest_batch for one in counts),
                fetch_bytes=0 if epoch and total_bytes <= cache_bytes else total_bytes,
                memory_bytes=_peak_memory(windows, manifest),
            )
        )
    return plans


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """One window, counted."""

    steps: int
    samples: int
    input_tokens: int
    target_tokens: int
    cells: int
    padding: int
    largest_batch: int


def _count(
    window: Sequence[PlannedShard], manifest: Manifest, config: StreamConfig, epoch: int
) -> _Counts:
    lengths = merge_lengths([shard.lengths for shard in window])
    direction = direction_of(config.direction, manifest.languages, "the data set")
    # of a pair id only the lowest bit decides the direction
    reverse = is_reversed(lengths.parity.astype(np.uint64), direction, epoch)
    inputs, targets = framed_lengths(
        lengths.src_len, lengths.tgt_len, reverse, manifest.tags.prefix_tokens
    )
    count = lengths.count
    rows, input_widths, target_widths = batch_shapes(
        np.repeat(inputs, count), np.repeat(targets, count), config.budget
    )
    cells = rows * (input_widths + target_widths)
    input_tokens, target_tokens = int(count @ inputs), int(count @ targets)
    return _Counts(
        steps=len(rows),
        samples=lengths.samples,
        input_tokens=input_tokens,
        target_tokens=target_tokens - lengths.samples,
        cells=int(cells.sum()),
        padding=int(cells.sum()) - input_tokens - target_tokens,
        largest_batch=int(cells.max()),
    )


def _peak_memory(windows: Sequence[Sequence[PlannedShard]], manifest: Manifest) -> int:
    """The window that is trained on, the next one, and the unpacked shards that it is made of."""
    id_bytes = np.dtype(id_dtype(manifest.tokenizer.vocab_size)).itemsize
    loaded = [
        sum(
            (shard.info.src_tokens + shard.info.tgt_tokens) * id_bytes
            + shard.info.samples * _SAMPLE_BYTES
            for shard in window
        )
        for window in windows
    ]
    unpacked = [sum(shard.info.raw_bytes for shard in window) for window in windows]
    before = [0, *loaded]
    return max(map(sum, zip(before, loaded, unpacked, strict=False)))
