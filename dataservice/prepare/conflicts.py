"""Folded target sentences of all partitions → those that stand in both splits.

They may not validate a model of the other direction either. Memory is bounded however many
partitions there are: the keys are compared range by range.
"""

from pathlib import Path
from typing import Final

import numpy as np

from dataservice.prepare.split_file import SplitFile
from dataservice.prepare.text.keys import Keys
from shards.manifest import Split

_MOST_KEYS: Final = 1 << 21  # of val, held at once: 16 MB


def target_conflicts(folder: Path, num_partitions: int, num_val: int) -> Keys:
    """The keys of both splits, sorted, each once; `num_val` rows validate."""
    num_ranges = max(1, -(-num_val // _MOST_KEYS))
    bounds = [number * 2**64 // num_ranges for number in range(num_ranges + 1)]
    return np.concatenate(
        [
            _conflicts(folder, num_partitions, bounds[number], bounds[number + 1] - 1)
            for number in range(num_ranges)
        ]
    )


def _conflicts(folder: Path, num_partitions: int, first: int, last: int) -> Keys:
    val = np.unique(
        np.concatenate([_keys(folder, n, "val", first, last) for n in range(num_partitions)])
    )
    found = np.zeros(len(val), np.bool_)
    for partition in range(num_partitions if len(val) else 0):
        # sorted: what is looked for in order is found faster
        train = np.sort(_keys(folder, partition, "train", first, last))
        places = np.minimum(np.searchsorted(val, train), len(val) - 1)
        found[places[val[places] == train]] = True
    return val[found]


def _keys(folder: Path, partition: int, split: Split, first: int, last: int) -> Keys:
    """The keys of a split of a partition from first to last, both included."""
    with SplitFile(folder, partition, split).open() as file:
        keys = file.targets()
    return keys[(keys >= np.uint64(first)) & (keys <= np.uint64(last))]
