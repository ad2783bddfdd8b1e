"""Target sentences of two splits → those in both, however they lie in partitions and ranges."""

from pathlib import Path

import numpy as np
import pytest

from dataservice.prepare import conflicts
from dataservice.prepare.conflicts import target_conflicts
from dataservice.prepare.split_file import SplitFile
from dataservice.prepare.text.keys import Keys
from dataservice.prepare.work.sections import dump_sections
from shards.manifest import Split


def write_targets(folder: Path, partition: int, split: Split, keys: Keys) -> None:
    """A file of a split that holds nothing else."""
    path = folder / SplitFile(folder, partition, split).path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(dump_sections({"targets": keys})))


def write(folder: Path, seed: int, num_partitions: int) -> tuple[set[int], int]:
    """Random keys of both splits in partitions; those in both, and how many rows validate."""
    numbers = np.random.default_rng(seed)
    pool = numbers.integers(0, 2**64, 300, dtype=np.uint64)
    pool[:3] = 0, 2**64 - 1, 2**63
    held: dict[str, set[int]] = {"train": set(), "val": set()}
    num_val = 0
    for partition in range(num_partitions):
        sizes: tuple[tuple[Split, int], ...] = (("train", 60), ("val", 25))
        for split, rows in sizes:
            keys = numbers.choice(pool, rows)
            write_targets(folder, partition, split, keys)
            held[split] |= set(keys.tolist())
            num_val += rows if split == "val" else 0
    return held["train"] & held["val"], num_val


@pytest.mark.parametrize("num_partitions", [1, 3])
@pytest.mark.parametrize("most_keys", [1, 7, 1000])
def test_a_conflict_is_what_stands_in_both_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_partitions: int, most_keys: int
) -> None:
    expected, num_val = write(tmp_path, most_keys, num_partitions)
    monkeypatch.setattr(conflicts, "_MOST_KEYS", most_keys)
    found = target_conflicts(tmp_path, num_partitions, num_val)
    assert found.tolist() == sorted(expected)
    assert expected


def test_without_validation_there_is_no_conflict(tmp_path: Path) -> None:
    write_targets(tmp_path, 0, "train", np.arange(5, dtype=np.uint64))
    write_targets(tmp_path, 0, "val", np.zeros(0, np.uint64))
    assert target_conflicts(tmp_path, 1, 0).tolist() == []
