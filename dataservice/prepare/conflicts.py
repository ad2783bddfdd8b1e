"""Folded target sentences of all partitions → those that stand in both splits.

They may not validate a model of the other direction either. Memory is bounded however many
partitions there are: the keys are compared range by range.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from dataservice.prepare.partition import SplitFiles
from dataservice.prepare.text.keys import Keys

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
    val = _keys(
        [SplitFiles(folder, part, "val").targets for part in range(num_partitions)], first, last
    )
    found = np.zeros(len(val), np.bool_)
    for partition in range(num_partitions):
        train = _keys([SplitFiles(folder, partition, "train").targets], first, last)
        found |= np.isin(val, train, assume_unique=True)
    return val[found]


def _keys(files: Sequence[Path], first: int, last: int) -> Keys:
    """The distinct keys from first to last, both included, of several files, sorted."""
    parts = [np.zeros(0, np.uint64)]
    for file in files:
        keys = np.load(file)
        parts.append(keys[(keys >= np.uint64(first)) & (keys <= np.uint64(last))])
    return np.unique(np.concatenate(parts))
