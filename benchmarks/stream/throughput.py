"""Data set URLs → how fast their batches come, how soon the first one does, how much is padding.

    python benchmarks/stream/throughput.py data/datasets/demo http://localhost:8000/datasets/demo

The URLs are read in turns, so that noise meets them alike. There is no cache: every pass fetches,
verifies, decompresses, decodes, shuffles, buckets and pads.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from shards.dataset import open_dataset
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget, Cursor


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of one epoch."""

    samples_per_s: float
    first_batch_s: float
    resume_s: float
    padding_share: float


def read_epoch(url: str, batch_size: int) -> Pass:
    config = StreamConfig(budget=BatchBudget(sequences=batch_size), epochs=1)
    started = time.perf_counter()
    stream = BatchStream(open_dataset(url), config)
    cursors: list[Cursor] = []
    samples = padding = cells = 0
    first = 0.0
    for batch in stream:
        first = first or time.perf_counter() - started
        cursors.append(batch.cursor)
        samples += len(batch.pair_ids)
        for ids in (batch.input_ids, batch.target_ids):
            cells += ids.size
            padding += int((ids == 0).sum())
    elapsed = time.perf_counter() - started
    return Pass(samples / elapsed, first, resume(url, config, cursors), padding / cells)


def resume(url: str, config: StreamConfig, cursors: list[Cursor]) -> float:
    """Seconds from opening the data set to the batch in the middle of the epoch."""
    started = time.perf_counter()
    next(iter(BatchStream(open_dataset(url), config, cursor=cursors[len(cursors) // 2])))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    passes: dict[str, list[Pass]] = {url: [] for url in options.urls}
    for _ in range(options.repeats):
        for url in options.urls:
            passes[url].append(read_epoch(url, options.batch_size))
    names = ("samples_per_s", "first_batch_s", "resume_s", "padding_share")
    medians = {
        url: {name: statistics.median(getattr(one, name) for one in runs) for name in names}
        for url, runs in passes.items()
    }
    if options.json:
        sys.stdout.write(json.dumps(medians) + "\n")
        return
    table = Table("data set", *names, title=f"medians of {options.repeats}")
    for url, values in medians.items():
        table.add_row(url, *(f"{values[name]:.4g}" for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
